"""Positions: how tokens learn where they are. T frames, C condition tokens and P patches in each, D width.

A token sits at (frame, row, column); condition tokens have no place in the image and sit at row 0, column 0.
"""

from __future__ import annotations

from math import isqrt
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldgrid.spec import ConfigError

BASE = 10_000.0
"""Longest wavelength over 2 pi, in positions, as in V-JEPA 2."""

Places = NDArray[np.float64]
"""`[T, C + P, 3]`: frame, row and column of every token."""


def places(frames: int, conditions: int, patches: int) -> Places:
    """Where the tokens of a window sit; raises ConfigError unless patches form a square."""
    side = isqrt(patches)
    if side * side != patches:
        raise ConfigError(f"predictor.positions: {patches} patches are no square grid; 'learned' fits any number")
    where = np.zeros((frames, conditions + patches, 3))
    where[..., 0] = np.arange(frames)[:, None]
    where[:, conditions:, 1], where[:, conditions:, 2] = np.divmod(np.arange(patches), side)
    return where


def axis_width(width: int) -> int:
    """How many of `width` numbers belong to each of the three axes: an even third; the rest carries no position."""
    return width // 3 // 2 * 2


def angles(where: Places, width: int) -> NDArray[np.float64]:
    """`[T, C + P, 3, axis_width / 2]` radians, one for each frequency of each axis."""
    count = axis_width(width) // 2
    return where[..., None] * BASE ** -(np.arange(count) / max(count, 1))


def waves(first: NDArray[np.float64], second: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Two halves of every axis side by side, filled up with zeros: `[T, C + P, width]`."""
    flat = np.concatenate([first, second], axis=-1).reshape(*first.shape[:2], -1)
    return np.pad(flat, ((0, 0), (0, 0), (0, width - flat.shape[-1])))


@final
class Unplaced(nn.Module):
    """Adds nothing: positions come in elsewhere."""

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Anything -> the same."""
        return tokens


@final
class Learned(nn.Module):
    """A free vector for every token of every slot of the window (dino_wm; the paper calls it sincos)."""

    def __init__(self, frames: int, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(frames, tokens, width))

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """`[B, T, C + P, D]` of the frames in the slots from `first` on -> the same with positions added."""
        return tokens + self.table[first : first + tokens.shape[1]]


@final
class Sincos(nn.Module):
    """Fixed sines and cosines of frame, row and column, a third of the width each."""

    table: Tensor

    def __init__(self, where: Places, width: int) -> None:
        super().__init__()
        radians = angles(where, width)
        table = torch.tensor(waves(np.sin(radians), np.cos(radians), width), dtype=torch.float32)
        self.register_buffer("table", table, persistent=False)

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """`[B, T, C + P, D]` of the frames in the slots from `first` on -> the same with positions added."""
        return tokens + self.table[first : first + tokens.shape[1]]
