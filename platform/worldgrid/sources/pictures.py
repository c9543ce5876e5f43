"""Pictures of any size and kind -> square uint8 frames. T frames, S side, h height, w width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from worldgrid.envs import Frames
from worldgrid.sources import CorruptError

AT_ONCE = 16
"""Pictures resized together."""


def frames_of(pictures: Iterable[NDArray[np.uint8]], size: int) -> Frames:
    """`[h, w, 3]` pictures, few of them in memory at a time -> `[T, S, S, 3]`: the central square, resized."""
    done, held = [], []
    for picture in pictures:
        held.append(_square(picture))
        if len(held) == AT_ONCE:
            done.append(_resize(held, size))
            held = []
    if held:
        done.append(_resize(held, size))
    return np.concatenate(done) if done else np.empty((0, size, size, 3), np.uint8)


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _resize(pictures: Sequence[NDArray[np.uint8]], size: int) -> Frames:
    """Bilinear, with antialiasing where they become smaller."""
    stacked = np.stack(pictures)
    if stacked.shape[1] == size:
        return stacked
    channels = torch.from_numpy(stacked).permute(0, 3, 1, 2).float()
    resized = interpolate(channels, (size, size), mode="bilinear", antialias=True).round().clamp(0, 255)
    return resized.byte().permute(0, 2, 3, 1).contiguous().numpy()


def to_bytes(pictures: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Colours of 0 to 255 in any kind of number as uint8; raises CorruptError for other colours."""
    if pictures.dtype == np.uint8:
        return pictures.view(np.uint8)
    numbers = pictures.astype(np.float32)
    if not np.isfinite(numbers).all() or numbers.min(initial=0) < 0 or numbers.max(initial=0) > 255:
        raise CorruptError(f"frames of {pictures.dtype} that are not colours of 0 to 255")
    if 0 < numbers.max(initial=0) <= 1 and pictures.dtype.kind == "f":
        raise CorruptError(f"frames of {pictures.dtype} between 0 and 1; colours of 0 to 255 fit")
    return np.rint(numbers).astype(np.uint8)
