"""A search under way: what every planner needs around its own idea. B episodes, N candidates, H horizon, A action."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from worldgrid.planners import Plan, PlanningError, Problem
from worldgrid.spec import ConfigError

Clip = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
"""Largest magnitude of every number of one simulator action, standardised units; one number bounds all alike.

Study: none in simulation; 0.1 six times and 0.75 on DROID; 0.05 and 0.01 three times each and 1 on RoboCasa.
"""


class Search:
    """Prices candidates for one problem, and remembers what the plan will report."""

    def __init__(self, problem: Problem, clip: Clip | None = None) -> None:
        self._problem = problem
        self._costs: list[Tensor] = []
        self._rejected = torch.zeros(len(problem.noise.episodes), dtype=torch.int64)
        self._calls = 0
        self.shape = (problem.horizon, problem.action)
        """H, A: one sequence."""
        self.limit = _limit(clip, problem.action)
        """`[A]` largest magnitude of each number of a model action; infinite without a clip."""
        self.best = self.full(0.0)
        """`[B, H, A]` the cheapest candidate seen."""
        self._lowest = torch.full((len(self._rejected),), torch.inf)

    def full(self, value: float) -> Tensor:
        """`[B, H, A]`, the same everywhere: where a search begins."""
        return torch.full((len(self._rejected), *self.shape), value)

    def normal(self, draw: int, *candidates: int) -> Tensor:
        """`[B, *candidates, H, A]` standard normal, each episode's own."""
        return self._problem.noise.normal(draw, *candidates, *self.shape)

    def clip(self, actions: Tensor) -> Tensor:
        """The nearest actions inside the box."""
        return actions.clamp(-self.limit, self.limit)

    def price(self, actions: Tensor) -> Tensor:
        """`[B, N, H, A]` -> `[B, N]` costs, infinite where the model's answer is no finite number.

        Raises PlanningError when an episode has no candidate left.
        """
        costs = self._problem.cost(actions)
        assert costs.shape == actions.shape[:2], "a cost gives one number per candidate"
        usable = costs.isfinite()
        if not (hopeful := usable.any(dim=1)).all():
            raise PlanningError(f"{self._where(hopeful)}: none of {actions.shape[1]} candidates has a finite cost")
        costs = costs.where(usable, torch.inf)
        self._rejected += (~usable).sum(dim=1)
        self._calls += actions.shape[1]
        self._remember(actions.detach(), costs.detach())
        return costs

    def plan(self, actions: Tensor) -> Plan:
        """The search's result: `[B, H, A]` actions, clipped, and how it went. Raises PlanningError if not finite."""
        finite = actions.isfinite().all(dim=2).all(dim=1)
        if not finite.all():
            raise PlanningError(f"{self._where(finite)}: the plan found is not finite")
        return Plan(self.clip(actions), torch.stack(self._costs, dim=1), self._calls, self._rejected)

    def _remember(self, actions: Tensor, costs: Tensor) -> None:
        best, lowest = cheapest(actions, costs, 1)
        self._costs.append(lowest[:, 0])
        better = lowest[:, 0] < self._lowest
        self.best = best[:, 0].where(better[:, None, None], self.best)
        self._lowest = lowest[:, 0].minimum(self._lowest)

    def _where(self, fine: Tensor) -> str:
        """The first of B episodes that is not fine, in words."""
        noise = self._problem.noise
        return f"episode {noise.episodes[int(fine.int().argmin())]}, plan {noise.replan}, iteration {len(self._costs)}"


def cheapest(actions: Tensor, costs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The K = `count` cheapest of N candidates, best first: `[B, K, H, A]` and their `[B, K]` costs.

    Where fewer have a finite cost, the best fills their places.
    """
    values, best = costs.topk(count, dim=1, largest=False)
    best = best.where(values.isfinite(), best[:, :1])
    values = values.where(values.isfinite(), values[:, :1])
    return actions.take_along_dim(best[..., None, None], dim=1), values


def _limit(clip: Clip | None, action: int) -> Tensor:
    if clip is None:
        return torch.full((action,), torch.inf)
    if action % len(clip):
        raise ConfigError(
            f"planner.clip: given {len(clip)} limits; one per number of a simulator action fits: "
            f"a model action has {action} numbers"
        )
    return torch.tensor(clip).repeat(action // len(clip))
