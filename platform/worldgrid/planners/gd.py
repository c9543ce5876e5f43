"""Gradient descent on the actions: the study's `gd`, and what its "Adam" really computes."""

from __future__ import annotations

from typing import Literal, final

from pydantic import Field

from worldgrid.planners.descent import Descent, Rule


@final
class GradientDescent(Descent):
    """a <- a - lr * d cost / d a + noise, with the study's settings."""

    kind: Literal["gd"] = "gd"
    lr: float = Field(default=1.0, gt=0)
    """Step size in standardised units; the cost is a mean over tokens, so its scale is the encoder's (study: 1)."""

    def rule(self) -> Rule:
        """Plain steps, no momentum."""
        return lambda gradient: self.lr * gradient
