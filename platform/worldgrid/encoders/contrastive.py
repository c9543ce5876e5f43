"""Contrastive: a small convolutional transformer that learns here. n frames, S side, P patches, D latent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, final

import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from worldgrid.encoders import WEIGHTS, Encoder, EncoderSpec
from worldgrid.envs import EnvSpec
from worldgrid.spec import ConfigError


@final
class Contrastive(EncoderSpec):
    """Settings of the network; how it learns stands in the section `pretrain`.

    The defaults are ours (the study's encoders are large and frozen): the smallest found that plans as well as larger.
    """

    kind: Literal["contrastive"] = "contrastive"
    grid: int = Field(default=2, ge=1)
    """Patches along each side of a frame: P is its square, whatever the frame's size."""
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64, 64), min_length=1)
    """After the first convolution, which cuts the frame into squares, and after each of those that follow and halve
    both sides. The last is the width of the transformer."""
    blocks: int = Field(default=2, ge=0)
    """Transformer blocks over the patches of a frame."""
    heads: int = Field(default=2, ge=1)
    """Attention heads."""
    latent: int = Field(default=32, ge=1)
    """D: numbers per token."""

    learned: ClassVar[bool] = True

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.channels[-1] % self.heads:
            raise ValueError(f"heads that divide the last of the channels ({self.channels[-1]}) fit")
        return self

    @property
    def cells(self) -> int:
        """Squares along each side of a frame that the first convolution reads."""
        return int(self.grid * 2 ** (len(self.channels) - 1))

    def check(self, env: EnvSpec) -> None:
        """Frames must be whole squares."""
        if env.size % self.cells:
            raise ConfigError(f"env.size: given {env.size}; a multiple of {self.cells} fits encoder.grid and channels")

    def build(self, env: EnvSpec, weights: Path | None = None) -> ContrastiveEncoder:
        """The network with weights drawn from torch's present random state, or frozen with those of `pretrain`."""
        self.check(env)
        encoder = ContrastiveEncoder(self, env.size).eval()
        if weights is None:
            return encoder
        encoder.load_state_dict(load_file(weights / WEIGHTS))
        return encoder.requires_grad_(False)


@final
class ContrastiveEncoder(Encoder):
    """Standardised frame -> convolutions -> transformer over the patches -> D numbers per patch."""

    mean: Tensor
    """`[S, S, 3]`, the mean frame."""
    deviation: Tensor
    """Of all pixels from the mean frame, one number."""

    def __init__(self, spec: Contrastive, size: int) -> None:
        super().__init__()
        self.patches, self.width = spec.grid**2, spec.latent
        self.register_buffer("mean", torch.full((size, size, 3), 127.5))
        self.register_buffer("deviation", torch.tensor(127.5))
        square, inner = size // spec.cells, spec.channels[-1]
        layers: list[nn.Module] = [nn.Conv2d(3, spec.channels[0], square, stride=square), nn.ReLU()]
        for before, after in pairwise(spec.channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.places = nn.Parameter(0.02 * torch.randn(self.patches, inner))
        self.blocks = nn.Sequential(*(_block(inner, spec.heads) for _ in range(spec.blocks)))
        self.read_out = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, spec.latent))

    @torch.no_grad()
    def standardise(self, frames: Tensor) -> None:
        """Take the mean frame and the deviation from it from `[n, S, S, 3]` uint8 frames.

        Most of a frame never changes: without taking the mean away little is learned, and dividing by what is left
        learns more in the same steps than dividing by 255.
        """
        pixels = frames.float()
        self.mean.copy_(pixels.mean(dim=0))
        self.deviation.copy_(pixels.sub_(self.mean).square_().mean().sqrt_().clamp_min_(1.0))

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 frames -> `[n, P, D]` tokens, row after row."""
        pixels = seen.float().sub_(self.mean).div_(self.deviation)  # in place: new memory costs more than the sums
        patches = self.convolutions(pixels.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        tokens: Tensor = self.read_out(self.blocks(patches + self.places))
        return tokens


def _block(width: int, heads: int) -> nn.Module:
    """Attention over all patches, then an MLP, each behind a norm."""
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
