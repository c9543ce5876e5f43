"""Frames as networks read them. n frames, S side in pixels."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from worldgrid.envs import EnvSpec
from worldgrid.spec import ConfigError

ImageNorm = Literal["imagenet", "half"]
"""What is taken off every channel of a frame in 0 to 1, and what it is divided by: ImageNet's mean and deviation, or
0.5 and 0.5. The study mixes the two, a confound of its comparisons (`configs/vjepa_wm` of jepa-wms): most of its
DINO-WM runs with the small encoder have 0.5, most others ImageNet."""

_STATISTICS: dict[ImageNorm, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@final
class Normalise(nn.Module):
    """Frames with channels of about mean 0 and deviation 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, norm: ImageNorm) -> None:
        super().__init__()
        mean, std = _STATISTICS[norm]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 -> `[n, 3, S, S]` float32."""
        return (scale(frames) - self.mean) / self.std


def scale(frames: Tensor) -> Tensor:
    """`[n, S, S, 3]` uint8 -> `[n, 3, S, S]` float32 in 0 to 1."""
    return frames.permute(0, 3, 1, 2).float() / 255


def check_size(env: EnvSpec, patch: int) -> None:
    """Raises ConfigError unless frames are cut into whole patches: nothing is resized or cropped."""
    if env.size % patch:
        near = env.size // patch * patch
        sizes = ", ".join(str(size) for size in sorted({near or patch, near + patch, 16 * patch}))
        raise ConfigError(f"env.size: given {env.size}; a multiple of the encoder's patch ({patch}) fits, like {sizes}")
