"""Pictures of planar robots in numpy, without OpenGL. n frames, S side in pixels; x grows to the right, y downwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worldgrid.envs import Floats

Grey = NDArray[np.uint8]
"""`[n, S, S]` one channel, 0 to 255."""
Matrix = NDArray[np.float32]

CHUNK = 64
"""Frames drawn together: few enough that their intermediate numbers stay in the processor's cache."""


def chunks(frames: int) -> Iterator[slice]:
    """`range(frames)` cut into slices of at most CHUNK."""
    for first in range(0, frames, CHUNK):
        yield slice(first, min(first + CHUNK, frames))


def dots(centres: Floats, side: int, std: float) -> Grey:
    """A Gaussian dot at each of `[n, 2]` centres (pixels), dark on white: 0 at the nearest pixel, 255 far away.

    A Gaussian is separable: one row and one column make a frame. As in the study's Wall, ink is rounded down.
    """
    pixels = np.arange(side)
    squares = (pixels - centres[:, :, None]) ** 2
    factors = np.exp((squares.min(axis=2, keepdims=True) - squares) / (2 * std * std)).astype(np.float32)
    across, down = 255 * factors[:, 0], factors[:, 1]
    ink: Grey = (down[:, :, None] * across[:, None, :]).astype(np.uint8)
    return 255 - ink


def bilinear(given: int, wanted: int) -> Matrix:
    """`[wanted, given]` weights that resize a row of pixels: bilinear, half-pixel centres, antialiased when shrinking.

    `w @ image @ w.T` is what `torchvision.transforms.Resize` makes of a square image of floats.
    """
    scale = given / wanted
    centres = (np.arange(wanted) + 0.5) * scale - 0.5
    reach = max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(given) - centres[:, None]) / reach)
    normalised: Matrix = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised
