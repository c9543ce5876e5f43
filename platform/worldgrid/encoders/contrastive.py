"""Contrastive: a small network that learns here, from frames alone. S frame side, P patches, D latent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from worldgrid.encoders import Encoder, EncoderSpec
from worldgrid.envs import EnvSpec
from worldgrid.spec import ConfigError

WEIGHTS = "encoder.safetensors"


class Contrastive(EncoderSpec):
    """Settings of the network; how it learns stands in the section `pretrain`."""

    kind: Literal["contrastive"] = "contrastive"
    learned: ClassVar[bool] = True
    stem: int = Field(default=4, ge=1)
    """Side of the first, non-overlapping convolution, pixels."""
    channels: tuple[int, ...] = Field(default=(32, 64, 64, 64), min_length=1)
    """Channels after the stem and after each of the 3x3 convolutions of stride 2 that follow."""
    width: int = Field(default=64, ge=1)
    """Width of the transformer blocks."""
    blocks: int = Field(default=2, ge=0)
    """Transformer blocks over the patches of a frame."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""
    latent: int = Field(default=32, ge=1)
    """D: numbers per token."""

    @model_validator(mode="after")
    def _fits(self) -> Contrastive:
        if self.width % self.heads:
            raise ValueError(f"width: a multiple of heads ({self.heads}) fits")
        return self

    def grid(self, size: int) -> int:
        """Patches along one side of a frame; raises ConfigError where the frame cannot be halved often enough."""
        step = self.stem * (1 << (len(self.channels) - 1))
        if size % step:
            raise ConfigError(f"env.size: given {size}; a multiple of {step} fits the encoder 'contrastive'")
        return size // step

    def build(self, env: EnvSpec, weights: Path | None = None) -> ContrastiveEncoder:
        """The network, with torch's present random state, or frozen with the weights of a `pretrain` step."""
        encoder = ContrastiveEncoder(self, env.size).eval()
        if weights is not None:
            encoder.load_state_dict(load_file(weights / WEIGHTS))
            encoder.requires_grad_(False)
        return encoder


class ContrastiveEncoder(Encoder):
    """Standardised frame -> convolutions -> transformer over the patches -> D numbers per patch."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: Contrastive, size: int) -> None:
        super().__init__()
        self.patches, self.width = spec.grid(size) ** 2, spec.latent
        self.register_buffer("mean", torch.zeros(size, size, 3))
        self.register_buffer("deviation", torch.tensor(255.0))
        layers: list[nn.Module] = [nn.Conv2d(3, spec.channels[0], spec.stem, spec.stem), nn.ReLU()]
        for inner, outer in pairwise(spec.channels):
            layers += [nn.Conv2d(inner, outer, 3, 2, 1), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.enter = nn.Linear(spec.channels[-1], spec.width)
        self.places = nn.Parameter(0.02 * torch.randn(self.patches, spec.width))
        self.blocks = nn.Sequential(*(_Block(spec.width, spec.heads) for _ in range(spec.blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(spec.width), nn.Linear(spec.width, spec.latent))

    @torch.no_grad()
    def standardise(self, frames: Tensor) -> None:
        """Take the mean frame and the one deviation around it from `[n, S, S, 3]` uint8 frames.

        Most of a frame never changes; without taking the mean away little is learned.
        """
        pixels = frames.float()
        self.mean.copy_(pixels.mean(dim=0))
        self.deviation.copy_((pixels - self.mean).square().mean().sqrt().clamp_min(1.0))

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 frames -> `[n, P, D]` tokens."""
        pixels = (seen.float() - self.mean) / self.deviation
        patches = self.convolutions(pixels.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        tokens: Tensor = self.leave(self.blocks(self.enter(patches) + self.places))
        return tokens


class _Block(nn.Module):
    """Pre-norm attention over all patches, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.looks = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.looks(self.before(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        tokens = tokens + self.merge(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(tokens)  # type: ignore[no-any-return]
