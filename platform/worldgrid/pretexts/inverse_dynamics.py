"""Inverse dynamics: say from two frames which action led from one to the other. n pairs, P patches, D latent, A action.

Frames that no action tells apart could all look the same, so VICReg's variance and covariance terms keep numbers apart.
"""

from __future__ import annotations

from typing import Literal, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from worldgrid.predictors import Shapes
from worldgrid.pretexts import Pretext, PretextSpec
from worldgrid.representation import covariance, variance


@final
class InverseDynamics(PretextSpec):
    """Settings of the guess. The defaults are ours: the two terms are to each other as in VICReg (25 : 1), and as weak
    as kept all numbers of a latent alive on Wall. Stronger ones fill latents with what no action changes: their
    distances follow the true ones less."""

    kind: Literal["inverse_dynamics"] = "inverse_dynamics"
    hidden: int = Field(default=256, ge=1)
    """Width inside the MLP that guesses; it is not kept."""
    variance: float = Field(default=0.01, ge=0)
    """Weight of the term that keeps every number's deviation at 1 or above (VICReg)."""
    covariance: float = Field(default=0.0004, ge=0)
    """Weight of the term that keeps numbers from saying the same (VICReg)."""

    def build(self, shapes: Shapes) -> Guess:
        """The MLP."""
        return Guess(self, shapes)


@final
class Guess(Pretext):
    """An MLP from the tokens of two frames to the action between them."""

    def __init__(self, spec: InverseDynamics, shapes: Shapes) -> None:
        super().__init__()
        self.spec = spec
        seen = 2 * shapes.patches * shapes.width
        self.guess = nn.Sequential(nn.Linear(seen, spec.hidden), nn.GELU(), nn.Linear(spec.hidden, shapes.action))

    def forward(
        self, before: Tensor, after: Tensor, actions: Tensor, stream: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the guess, and both terms over all frames of the step."""
        missed = mse_loss(self.guess(torch.cat([before, after], dim=1).flatten(1)), actions)
        features = torch.cat([before, after]).flatten(1)
        alike, told_twice = variance(features), covariance(features)
        loss = missed + self.spec.variance * alike + self.spec.covariance * told_twice
        return loss, {
            "action": missed.detach(),
            "variance": alike.detach(),
            "covariance": told_twice.detach(),
        }
