"""Random numbers that belong to what varies: a purpose, a seed, an episode, a replanning step. No global seeds.

A stream is named by integers and text, never by the order of calls: the same name gives the same numbers alone,
in a batch, on another worker, or in another order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Name = int | str
"""One part of a stream's name."""


def generator(*name: Name) -> np.random.Generator:
    """The stream called `name` (Philox, counter-based), always from its beginning.

    The key is a hash of the name's JSON: numpy's SeedSequence gives `(5,)` and `(5, 0)` the same numbers.
    """
    text = json.dumps([part if isinstance(part, str) else int(part) for part in name])
    key = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def stream_seed(*name: Name) -> int:
    """A 63-bit seed for anything that wants one number, from the stream called `name`."""
    return int(generator(*name).integers(2**63))


@dataclass(frozen=True)
class Noise:
    """The draws of B episodes at one replanning step, float32; draw k of an episode depends on nothing else."""

    seed: int
    episodes: Sequence[int]
    replan: int

    def normal(self, draw: int, *shape: int) -> Tensor:
        """`[B, *shape]` standard normal; `draw` numbers a planner's draws within one plan."""
        return self._stack([stream.standard_normal(shape, np.float32) for stream in self._streams(draw)])

    def uniform(self, draw: int, *shape: int) -> Tensor:
        """`[B, *shape]` uniform in [0, 1)."""
        return self._stack([stream.random(shape, np.float32) for stream in self._streams(draw)])

    def _streams(self, draw: int) -> list[np.random.Generator]:
        return [generator("plan", self.seed, episode, self.replan, draw) for episode in self.episodes]

    @staticmethod
    def _stack(draws: list[np.ndarray]) -> Tensor:
        import torch  # late: collecting and the light actors of a grid do without it

        return torch.from_numpy(np.stack(draws))
