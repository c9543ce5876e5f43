"""iCEM: CEM with noise that is smooth in time and elites that stay in the race. B, N, H, A as everywhere."""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search, cheapest


@final
class ICEM(PlannerSpec):
    """Improved CEM (Pinneri et al., arXiv 2008.06389): coloured noise, kept elites, momentum, the best is returned.

    On purpose without two of its parts: no elites are carried from one plan to the next (the mean is, with
    `mpc.warm_start`), and every iteration has the same number of candidates (the budget is CEM's).
    """

    kind: Literal["icem"] = "icem"
    samples: int = Field(default=300, ge=3)
    """N: candidates of one iteration."""
    iterations: int = Field(default=30, ge=1)
    """How often N candidates are drawn."""
    elites: int = Field(default=10, ge=2)
    """Cheapest candidates that give the next mean and spread (paper: 10)."""
    kept: float = Field(default=0.3, ge=0, le=1)
    """Share of the elites that competes again in the next iteration (paper: 0.3)."""
    momentum: float = Field(default=0.1, ge=0, lt=1)
    """How much of the old mean and spread stays (paper: 0.1)."""
    colour: float = Field(default=2.0, ge=0)
    """beta: the noise's power falls with frequency^-beta; 0 is white (paper: 0.25 to 4 by task)."""
    spread: float = Field(default=1.0, gt=0)
    """Initial standard deviation, standardised units."""
    clip: Clip | None = None
    """Box the candidates are cut to: largest magnitude of every number of a simulator action."""

    @model_validator(mode="after")
    def _enough_samples(self) -> ICEM:
        if self.elites >= self.samples:
            raise ValueError(f"elites < samples fits; there are {self.elites} elites of {self.samples} samples")
        return self

    @property
    def calls(self) -> int:
        """Candidates of all iterations; a kept elite takes the place of a draw."""
        return self.samples * self.iterations

    @torch.no_grad()
    def plan(self, problem: Problem) -> Plan:
        """The cheapest candidate seen; the mean competes in the last iteration."""
        search, mix = Search(problem, self.clip), mixing(problem.horizon, self.colour).to(problem.device)
        mean, std = search.begin, search.full(self.spread)
        kept = search.full(0.0)[:, None][:, :0]
        for step in range(self.iterations):
            noise = blend(mix, search.normal(step, self.samples))
            actions = mean[:, None] + std[:, None] * noise
            actions[:, : kept.shape[1]] = kept
            if step == self.iterations - 1:
                actions[:, -1] = mean
            actions = search.clip(actions)
            elites, _ = cheapest(actions, search.price(actions), self.elites)
            kept = elites[:, : round(self.kept * self.elites)]
            mean = elites.mean(dim=1).lerp(mean, self.momentum)
            std = elites.std(dim=1).lerp(std, self.momentum)
        return search.plan(search.best)


def mixing(horizon: int, colour: float) -> Tensor:
    """`[H, H]` matrix that turns white noise over time into noise of unit variance and power 1 / frequency^colour."""
    frequency = torch.fft.rfftfreq(horizon, dtype=torch.float64).clamp(min=1 / horizon)
    spectrum = torch.fft.rfft(torch.eye(horizon, dtype=torch.float64), dim=0)
    mix = torch.fft.irfft(frequency[:, None] ** (-colour / 2) * spectrum, n=horizon, dim=0)
    return torch.nn.functional.normalize(mix, dim=1).float()


def blend(mix: Tensor, white: Tensor) -> Tensor:
    """Mix `[B, N, H, A]` white noise over time, one term after the other: equal to the bit in any batch."""
    coloured = torch.zeros_like(white)
    for time in range(len(mix)):
        coloured += mix[:, time, None] * white[:, :, time, None]
    return coloured
