"""Model-predictive path integral: like CEM, but cheaper elites count more. B, N, H, A as everywhere."""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import Field, model_validator

from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search, cheapest


@final
class MPPI(PlannerSpec):
    """MPPI over elites in the form of TD-MPC2 (arXiv 2310.16828); the study has such a class and never runs it.

    Candidates and iterations default to the study's for CEM, so that both make the same number of model calls.
    """

    kind: Literal["mppi"] = "mppi"
    samples: int = Field(default=300, ge=1)
    """N: candidates of one iteration."""
    iterations: int = Field(default=30, ge=1)
    """How often N candidates are drawn."""
    elites: int = Field(default=64, ge=1)
    """Cheapest candidates that are averaged (TD-MPC2: 64)."""
    temperature: float = Field(default=0.5, gt=0)
    """An elite weighs exp(-temperature * cost): larger is greedier, as TD-MPC2 has it (0.5)."""
    spread: float = Field(default=1.0, gt=0)
    """Initial standard deviation, standardised units."""
    min_spread: float = Field(default=0.05, ge=0)
    """Smallest standard deviation (official class: 0.05)."""
    max_spread: float = Field(default=2.0, gt=0)
    """Largest standard deviation (official class: 2)."""
    clip: Clip | None = None
    """Box the candidates are cut to: largest magnitude of every number of a simulator action."""

    @model_validator(mode="after")
    def _fits(self) -> MPPI:
        if self.elites > self.samples:
            raise ValueError(f"elites <= samples fits; there are {self.elites} elites of {self.samples} samples")
        if not self.min_spread <= self.spread <= self.max_spread:
            raise ValueError(
                f"min_spread <= spread <= max_spread fits; they are {self.min_spread}, {self.spread}, {self.max_spread}"
            )
        return self

    @property
    def calls(self) -> int:
        """Candidates of all iterations."""
        return self.samples * self.iterations

    @torch.no_grad()
    def plan(self, problem: Problem) -> Plan:
        """The last weighted mean."""
        search = Search(problem, self.clip)
        mean, std = search.begin, search.full(self.spread)
        for step in range(self.iterations):
            actions = search.clip(mean[:, None] + std[:, None] * search.normal(step, self.samples))
            elites, costs = cheapest(actions, search.price(actions), self.elites)
            weight = (-self.temperature * costs).softmax(dim=1)[..., None, None]
            mean = (weight * elites).sum(dim=1)
            variance = (weight * (elites - mean[:, None]).square()).sum(dim=1)
            std = variance.sqrt().clamp(self.min_spread, self.max_spread)
        return search.plan(mean)
