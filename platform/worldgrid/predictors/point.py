"""The exact predictor of env `point` behind the encoder `state`: P = 1 token of D = a numbers, the position itself."""

from __future__ import annotations

from typing import Literal, final

from pydantic import model_validator
from torch import Tensor

from worldgrid.predictors import Latent, Predictor, PredictorSpec, Shapes
from worldgrid.spec import ConfigError


@final
class ExactPoint(PredictorSpec):
    """Next position = position + sum of the simulator actions. Nothing to learn: every planner must solve it.

    It is told the statistics its actions are standardised with (`world_model.Normalisation`), to undo them.
    """

    kind: Literal["point"] = "point"
    action_mean: tuple[float, ...] = (0.0, 0.0)
    """Per number of a simulator action, simulator units."""
    action_std: tuple[float, ...] = (1.0, 1.0)

    @model_validator(mode="after")
    def _paired(self) -> ExactPoint:
        if len(self.action_mean) != len(self.action_std):
            raise ValueError("a mean and a standard deviation for every number of a simulator action fits")
        return self

    @property
    def uses_proprio(self) -> bool:
        """Never: the latent says everything."""
        return False

    def build(self, shapes: Shapes) -> PointDynamics:
        """Raises ConfigError unless the latent is one token that actions add to."""
        numbers = len(self.action_mean)
        if shapes.patches != 1 or shapes.width != numbers or shapes.action % numbers:
            raise ConfigError(
                f"predictor 'point': given {shapes.patches} x {shapes.width} latents and actions of {shapes.action}; "
                f"1 x {numbers} and a multiple of {numbers} fit (env point, encoder state)"
            )
        return PointDynamics(self)


@final
class PointDynamics(Predictor):
    """The arithmetic of `ExactPoint`; it has no weights."""

    def __init__(self, spec: ExactPoint) -> None:
        super().__init__()
        self.spec, self.context = spec, spec.context

    def embed(self, proprio: Tensor) -> Tensor | None:
        """None."""
        return None

    def forward(self, window: Latent, actions: Tensor) -> Latent:
        """Every frame moves by its own action, whatever came before."""
        mean, std = actions.new_tensor(self.spec.action_mean), actions.new_tensor(self.spec.action_std)
        moves = (actions.unflatten(-1, (-1, len(mean))) * std + mean).sum(dim=-2)
        return Latent(window.visual + moves[:, :, None])
