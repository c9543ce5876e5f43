"""Pixels as tokens, a baseline without weights. n frames, S side, P patches, D = 3 colours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from worldgrid.encoders import Encoder, EncoderSpec
from worldgrid.encoders.images import check_size, scale
from worldgrid.envs import EnvSpec


@final
class Pixels(EncoderSpec):
    """Settings of the mean colour of every patch."""

    kind: Literal["pixels"] = "pixels"
    patch: int = Field(default=8, ge=1)
    """Side of a patch, pixels; must divide env.size."""

    def check(self, env: EnvSpec) -> None:
        """Frames must be whole patches."""
        check_size(env, self.patch)

    def build(self, env: EnvSpec, weights: Path | None = None) -> MeanColours:
        """There is nothing to load."""
        self.check(env)
        return MeanColours(self.patch, env.size // self.patch)


@final
class MeanColours(Encoder):
    """The arithmetic of `Pixels`."""

    width = 3

    def __init__(self, patch: int, side: int) -> None:
        super().__init__()
        self.patch, self.patches = patch, side * side
        self.eval()

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 -> `[n, P, 3]` in 0 to 1, row after row."""
        return avg_pool2d(scale(seen), self.patch).flatten(2).transpose(1, 2)
