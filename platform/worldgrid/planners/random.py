"""Random shooting: draw, keep the cheapest. The floor every planner has to beat. B, N, H, A as everywhere."""

from __future__ import annotations

from typing import Literal, final

import torch
from pydantic import Field

from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search


@final
class RandomShooting(PlannerSpec):
    """As many draws as CEM makes, all from the distribution CEM begins with."""

    kind: Literal["random"] = "random"
    samples: int = Field(default=300, ge=1)
    """N: candidates of one iteration."""
    iterations: int = Field(default=30, ge=1)
    """How often N candidates are drawn; more changes the budget, not the distribution."""
    spread: float = Field(default=1.0, gt=0)
    """Standard deviation of the draws, standardised units."""
    clip: Clip | None = None
    """Box the candidates are cut to: largest magnitude of every number of a simulator action."""

    @property
    def calls(self) -> int:
        """Candidates of all iterations."""
        return self.samples * self.iterations

    @torch.no_grad()
    def plan(self, problem: Problem) -> Plan:
        """The cheapest of all draws."""
        search = Search(problem, self.clip)
        for step in range(self.iterations):
            search.price(search.clip(search.begin[:, None] + self.spread * search.normal(step, self.samples)))
        return search.plan(search.best)
