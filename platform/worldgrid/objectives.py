"""Objectives: how far an imagined future is from the goal. M futures, H horizon, P patches, D latent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal, final

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from worldgrid.predictors import Latent
from worldgrid.spec import ConfigError, Family, Spec


class ObjectiveSpec(Spec):
    """Settings of an objective, and the objective itself."""

    kind: str
    proprio: float = Field(default=0.0, ge=0)
    """alpha: weight of the embedded proprioception (paper: 0.1 where the predictor has it, else 0)."""

    @abstractmethod
    def distance(self, imagined: Latent, goal: Latent) -> Tensor:
        """`[M, H, P, D]` futures (proprio `[M, H, C, E]`) and `[M, 1, ...]` goals -> `[M]`, differentiable."""


OBJECTIVES = Family[ObjectiveSpec](
    "objective",
    ObjectiveSpec,  # type: ignore[type-abstract]
    {
        "goal_distance": "worldgrid.objectives:GoalDistance",
    },
)


def _squared(imagined: Tensor, goal: Tensor) -> Tensor:
    return (imagined - goal).square().mean(dim=-1)


def _absolute(imagined: Tensor, goal: Tensor) -> Tensor:
    return (imagined - goal).abs().mean(dim=-1)


def _angular(imagined: Tensor, goal: Tensor) -> Tensor:
    return 1 - cosine_similarity(imagined, goal, dim=-1)


_NORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l2": _squared, "l1": _absolute, "cosine": _angular}
"""Over the numbers of each token: `[M, H, P, D]` -> `[M, H, P]`."""


@final
class GoalDistance(ObjectiveSpec):
    """Distance between imagined and goal tokens, plus `proprio` times the same of the embedded proprioception.

    Source: arXiv 2512.24497, which uses l2 and l1 of the last frame.
    """

    kind: Literal["goal_distance"] = "goal_distance"
    norm: Literal["l2", "l1", "cosine"] = "l2"
    """Mean over tokens and numbers of squared (`l2`) or absolute (`l1`) differences; mean over tokens of 1 - cosine."""
    steps: Literal["last", "all"] = "last"
    """The last imagined frame, or the sum over the horizon."""

    def distance(self, imagined: Latent, goal: Latent) -> Tensor:
        """Raises ConfigError when proprioception is weighed and the predictor has none."""
        seen = imagined.last(1) if self.steps == "last" else imagined
        visual = self._distance(seen.visual, goal.visual)
        if self.proprio == 0:
            return visual
        if seen.proprio is None or goal.proprio is None:
            raise ConfigError(f"objective.proprio: given {self.proprio}; 0 fits: this predictor has no proprioception")
        return visual + self.proprio * self._distance(seen.proprio, goal.proprio)

    def _distance(self, imagined: Tensor, goal: Tensor) -> Tensor:
        return _NORMS[self.norm](imagined, goal).mean(dim=2).sum(dim=1)
