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
        self._problem, self.device = problem, problem.device
        self._costs: list[Tensor] = []
        episodes = len(problem.noise.episodes)
        self._rejected = torch.zeros(episodes, dtype=torch.int64, device=self.device)
        self._lost = torch.full((episodes,), -1, device=self.device)
        """The first iteration in which an episode had no candidate with a finite cost; -1: none."""
        self._calls = 0
        self.shape = (problem.horizon, problem.action)
        """H, A: one sequence."""
        self.limit = _limit(clip, problem.action).to(self.device)
        """`[A]` largest magnitude of each number of a model action; infinite without a clip."""
        self.begin = self.full(0.0) if problem.begin is None else self.clip(problem.begin.to(self.device))
        """`[B, H, A]` where the search begins."""
        self.best = self.full(0.0)
        """`[B, H, A]` the cheapest candidate seen."""
        self._lowest = torch.full((episodes,), torch.inf, device=self.device)

    def full(self, value: float) -> Tensor:
        """`[B, H, A]`, the same everywhere."""
        return torch.full((len(self._rejected), *self.shape), value, device=self.device)

    def normal(self, draw: int, *candidates: int) -> Tensor:
        """`[B, *candidates, H, A]` standard normal, each episode's own."""
        return self._problem.noise.normal(draw, *candidates, *self.shape).to(self.device)

    def clip(self, actions: Tensor) -> Tensor:
        """The nearest actions inside the box."""
        return actions.clamp(-self.limit, self.limit)

    def price(self, actions: Tensor) -> Tensor:
        """`[B, N, H, A]` -> `[B, N]` costs, infinite where the model's answer is no finite number.

        Raises PlanningError when an episode has no candidate left; on a GPU that is left to `plan`, because asking
        would make the host wait for it in every iteration.
        """
        costs = self._problem.cost(actions)
        assert costs.shape == actions.shape[:2], "a cost gives one number per candidate"
        usable = costs.isfinite()
        newly = (self._lost < 0) & ~usable.any(dim=1)
        self._lost = self._lost.masked_fill(newly, len(self._costs))
        if self.device.type == "cpu":
            self._check(actions.shape[1])
        costs = costs.where(usable, torch.inf)
        self._rejected += (~usable).sum(dim=1)
        self._calls += actions.shape[1]
        self._remember(actions.detach(), costs.detach())
        return costs

    def plan(self, actions: Tensor) -> Plan:
        """The search's result: `[B, H, A]` actions, clipped, and how it went. Raises PlanningError if not finite."""
        self._check(self._calls // max(len(self._costs), 1))
        finite = actions.isfinite().all(dim=2).all(dim=1)
        if not finite.all():
            where = self._where(int(finite.int().argmin()), len(self._costs))
            raise PlanningError(f"{where}: the plan found is not finite")
        costs = torch.stack(self._costs, dim=1)
        return Plan(self.clip(actions).cpu(), costs.cpu(), self._calls, self._rejected.cpu())

    def _check(self, candidates: int) -> None:
        lost = self._lost.cpu()
        if (lost >= 0).any():
            first = int((lost >= 0).int().argmax())
            where = self._where(first, int(lost[first]))
            raise PlanningError(f"{where}: none of {candidates} candidates has a finite cost")

    def _remember(self, actions: Tensor, costs: Tensor) -> None:
        best, lowest = cheapest(actions, costs, 1)
        self._costs.append(lowest[:, 0])
        better = lowest[:, 0] < self._lowest
        self.best = best[:, 0].where(better[:, None, None], self.best)
        self._lowest = lowest[:, 0].minimum(self._lowest)

    def _where(self, row: int, iteration: int) -> str:
        noise = self._problem.noise
        return f"episode {noise.episodes[row]}, plan {noise.replan}, iteration {iteration}"


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
