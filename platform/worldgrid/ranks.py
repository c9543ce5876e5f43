"""Ranks: the processes that train one predictor together, and what they tell each other. Alone there is nobody.

The global batch belongs to the recipe; a rank takes every `world`-th clip of it. However many ranks there are, and
however unequal their shares, gradients and losses are those of the whole batch, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed


@dataclass(frozen=True)
class Ranks:
    """One process of a training, as it sees the others."""

    rank: int
    world: int
    """How many there are."""
    device: torch.device
    """Where this one computes."""

    @property
    def leads(self) -> bool:
        """Whether it writes for all."""
        return self.rank == 0

    def share(self, starts: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
        """This rank's part of a batch, in passes of at most `most` clips, as equal as they can be."""
        mine = starts[self.rank :: self.world]
        return np.array_split(mine, -(-len(mine) // most))

    def total(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """What every rank's numbers add up to. Every rank asks at the same time, with the same names."""
        added = torch.stack([value.detach().float() for value in values.values()])
        if self.world > 1:
            distributed.all_reduce(added)
        return dict(zip(values, added.tolist(), strict=True))

    def from_first(self, content: bytes) -> bytes:
        """Rank 0's bytes, whatever the others gave. Every rank asks at the same time."""
        if self.world == 1:
            return content
        length = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(length, src=0)
        if not length:
            return b""
        data = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        if self.leads:
            data.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        distributed.broadcast(data, src=0)
        return data.cpu().numpy().tobytes()
