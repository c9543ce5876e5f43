"""Cross-entropy method: sample around a mean, keep the elites, refit mean and spread. B, N, H, A as everywhere."""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import Field, model_validator

from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search, cheapest


@final
class CEM(PlannerSpec):
    """CEM with the study's settings on Push-T, PointMaze and Wall."""

    kind: Literal["cem"] = "cem"
    samples: int = Field(default=300, ge=2)
    """N: candidates of one iteration."""
    iterations: int = Field(default=30, ge=1)
    """How often N candidates are drawn (study: 30; 15 on Metaworld, DROID and RoboCasa)."""
    elites: int = Field(default=10, ge=2)
    """Cheapest candidates that give the next mean and spread."""
    spread: float = Field(default=1.0, gt=0)
    """Initial standard deviation, standardised units (study: 1; 0.1 on DROID and RoboCasa)."""
    min_spread: float = Field(default=0.0, ge=0)
    """Smallest standard deviation (study: none)."""
    mean_momentum: float = Field(default=0.0, ge=0, lt=1)
    """How much of the old mean stays (study: 0)."""
    spread_momentum: float = Field(default=0.0, ge=0, lt=1)
    """How much of the old spread stays (study: 0)."""
    clip: Clip | None = None
    """Box the candidates are cut to: largest magnitude of every number of a simulator action (study: none)."""
    returns: Literal["mean", "best"] = "mean"
    """The last mean, as the study does, or the cheapest candidate seen."""

    @model_validator(mode="after")
    def _enough_samples(self) -> CEM:
        if self.elites > self.samples:
            raise ValueError(f"elites <= samples fits; there are {self.elites} elites of {self.samples} samples")
        return self

    @property
    def calls(self) -> int:
        """Candidates of all iterations."""
        return self.samples * self.iterations

    @torch.no_grad()
    def plan(self, problem: Problem) -> Plan:
        """From the problem's beginning on; the elites' standard deviation is the unbiased one."""
        search = Search(problem, self.clip)
        mean, std = search.begin, search.full(self.spread)
        for step in range(self.iterations):
            actions = mean[:, None] + std[:, None] * search.normal(step, self.samples)
            actions[:, 0] = mean  # the mean competes too (official code since v1)
            actions = search.clip(actions)
            elites, _ = cheapest(actions, search.price(actions), self.elites)
            mean = elites.mean(dim=1).lerp(mean, self.mean_momentum)
            std = elites.std(dim=1).lerp(std, self.spread_momentum).clamp(min=self.min_spread)
        return search.plan(mean if self.returns == "mean" else search.best)
