"""Time-contrastive: frames few steps apart come close, frames of different trajectories are pushed apart.

n pairs of frames, P patches, D latent.
"""

from __future__ import annotations

from typing import Literal, final

import numpy as np
from pydantic import Field
from torch import Tensor

from worldgrid.predictors import Shapes
from worldgrid.pretexts import Pretext, PretextSpec
from worldgrid.representation import info_nce


@final
class TimeContrastive(PretextSpec):
    """Settings of the contrast. The defaults are ours."""

    kind: Literal["time_contrastive"] = "time_contrastive"
    temperature: float = Field(default=0.1, gt=0)
    """Of the InfoNCE loss: the unit of the latent distance."""
    reach: int = Field(default=3, ge=1)
    """Most model steps between the frames of a pair."""

    @property
    def span(self) -> int:
        """As the settings say."""
        return self.reach

    def build(self, shapes: Shapes) -> Contrast:
        """Nothing but the loss."""
        return Contrast(self)


@final
class Contrast(Pretext):
    """Each frame is to tell the one a few steps from it among n of other trajectories.

    So latent distances grow with the number of steps between frames, around walls too: the landscape that planning by
    goal distance needs.
    """

    def __init__(self, spec: TimeContrastive) -> None:
        super().__init__()
        self.temperature = spec.temperature

    def forward(
        self, before: Tensor, after: Tensor, actions: Tensor, stream: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast alone."""
        return info_nce(before, after, self.temperature), {}
