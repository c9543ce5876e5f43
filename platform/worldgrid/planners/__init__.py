"""Planners search for the cheapest action sequence under a given cost. They know nothing else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.spec import Family, Spec

Cost = Callable[[Tensor], Tensor]
"""`[B, N, H, A]` standardised actions -> `[B, N]` cost. Differentiable in the actions; episodes do not mix."""


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Problem:
    """What is to be planned for B episodes at once."""

    cost: Cost
    horizon: int
    """H: model steps."""
    action: int
    """A: numbers in one model action."""
    noise: Noise
    """Its episodes are the batch, in order."""
    device: torch.device = CPU
    """Where candidates are drawn to and compared: where the cost is computed."""
    begin: Tensor | None = None
    """`[B, H, A]` standardised actions around which the search begins; None: zeros, the mean action."""


@dataclass(frozen=True)
class Plan:
    """The sequences found for B episodes, and how the search went."""

    actions: Tensor
    """`[B, H, A]` standardised actions."""
    costs: Tensor
    """`[B, iterations]` cost of the best candidate of every iteration."""
    calls: int
    """Candidate sequences evaluated per episode (a gradient step counts as one)."""
    rejected: Tensor
    """`[B]` how many of them had a cost that is not a finite number; they never lead the search."""


class PlanningError(FloatingPointError):
    """A search has nothing to go on with: an episode's costs, or the actions they led to, are not finite numbers."""


class PlannerSpec(Spec):
    """Settings of a planner, and the search itself: a pure function of the problem."""

    kind: str

    @abstractmethod
    def plan(self, problem: Problem) -> Plan:
        """Search for every episode by itself: a batch gives what each episode gives alone."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """Candidate sequences one plan evaluates, known beforehand."""


PLANNERS = Family[PlannerSpec](
    "planner",
    PlannerSpec,  # type: ignore[type-abstract]
    {
        "cem": "worldgrid.planners.cem:CEM",
        "gd": "worldgrid.planners.gd:GradientDescent",
        "adam": "worldgrid.planners.adam:Adam",
        "random": "worldgrid.planners.random:RandomShooting",
        "mppi": "worldgrid.planners.mppi:MPPI",
        "icem": "worldgrid.planners.icem:ICEM",
        "nevergrad": "worldgrid.planners.nevergrad:Nevergrad",
    },
)
