"""Rotary positions over frame, row and column, as V-JEPA 2 turns its queries and keys. T frames, L tokens, d wide."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from worldgrid.predictors.positions import Places, angles, waves


@final
class Rotary(nn.Module):
    """Turns the queries or keys of frames that sit in a window's slots.

    Each axis turns an even third of a head; condition tokens sit at row 0, column 0, so only time turns them. As in
    V-JEPA 2 and jepa-wms, neighbours (2j, 2j + 1) form a pair while the frequencies run twice through the third, so
    that the two of a pair turn by different angles. Trained weights depend on it.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, where: Places, head_width: int, padded: int) -> None:
        """For heads `head_width` wide that are stored `padded` (even) wide; what carries no position is not turned."""
        super().__init__()
        radians = angles(where, head_width)
        turns = waves(radians, radians, padded)
        sine = np.sin(turns) * np.tile([-1, 1], padded // 2)
        self.register_buffer("cosine", torch.tensor(np.cos(turns), dtype=torch.float32), persistent=False)
        self.register_buffer("sine", torch.tensor(sine, dtype=torch.float32), persistent=False)

    def forward(self, heads: Tensor, first: int = 0) -> Tensor:
        """`[..., T, L, d]` of the frames in the slots from `first` on -> the same, turned."""
        slots = slice(first, first + heads.shape[-3])
        even, odd = heads.unflatten(-1, (-1, 2)).unbind(dim=-1)
        partners = torch.stack([odd, even], dim=-1).flatten(-2)  # flip takes three times as long on a CPU
        return torch.addcmul(heads * self.cosine[slots], partners, self.sine[slots])
