"""What gradient planners share: everything but the rule that turns a gradient into a step. B, N, H, A as everywhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search, cheapest

Rule = Callable[[Tensor], Tensor]
"""`[B, N, H, A]` gradient -> what is subtracted from the actions; may remember the gradients before."""


class Descent(PlannerSpec):
    """Follow the cost's gradient in the actions from random starts; the weights get no gradients."""

    iterations: int = Field(default=500, ge=1)
    """Gradient steps."""
    starts: int = Field(default=1, ge=1)
    """N: descents side by side; the one with the lowest cost before its last step is kept (study: 1). A warm start is
    the first of them."""
    spread: float = Field(default=1.0, gt=0)
    """Standard deviation of the starts, standardised units (study: 1; 0.1 on DROID and RoboCasa)."""
    noise: float = Field(default=0.003, ge=0)
    """Standard deviation of what is added to the actions after each step (study: 0.003)."""
    clip: Clip | None = None
    """Box the actions are cut to after each step: largest magnitude of every number of a simulator action."""

    @abstractmethod
    def rule(self) -> Rule:
        """A fresh rule for one plan: elementwise, so that neither episodes nor starts mix."""

    @property
    def calls(self) -> int:
        """One for every gradient step of every start."""
        return self.starts * self.iterations

    @torch.enable_grad()
    def plan(self, problem: Problem) -> Plan:
        """Descend the sum of all costs: every episode gets the gradient it would get alone."""
        search, rule = Search(problem, self.clip), self.rule()
        actions = search.begin[:, None] + self.spread * search.normal(0, self.starts)
        if problem.begin is not None:
            actions[:, 0] = search.begin  # what noise as large as an action would bury
        actions = search.clip(actions)
        jitter = self.noise * search.normal(1, self.iterations, self.starts)
        for step in range(self.iterations):
            actions.requires_grad_()
            costs = search.price(actions)
            (gradient,) = torch.autograd.grad(costs.sum(), actions)
            actions = search.clip(actions.detach() - rule(gradient) + jitter[:, step])
        ends, _ = cheapest(actions, costs.detach(), 1)
        return search.plan(ends[:, 0])
