"""Packing: N candidates of B episodes through networks in blocks, each as large as memory allows.

The blocks are rectangles of episodes and candidates: candidates of an episode share what they have in common.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

MIB = 2**20
CPU_CACHED = 16 * MIB
"""What a block takes on a CPU, so that most of what one layer hands to the next stays in the cache (`make bench`)."""
CPU_HISTORY = 1024 * MIB
"""What a block may take on a CPU when gradients are wanted: its history leaves every cache anyway."""
GPU_SHARE = 0.5
"""Share of the memory free on a GPU at the first plan that one block may take."""

Work = Callable[[slice, slice], tuple[Tensor, ...]]
"""Episodes and candidates of one block -> what they give, `[b, n, ...]` each."""


@final
class Packing:
    """How much goes through the networks at once."""

    def __init__(self, memory: int | None) -> None:
        """`memory` is the MiB one block may take; None: what is best on a CPU, half of what is free on a GPU."""
        self._memory = memory
        self._free: int | None = None
        self._halvings = 0

    def run(
        self, work: Work, shape: tuple[int, int], each: int, device: torch.device, *, history: bool
    ) -> tuple[Tensor, ...]:
        """Do the work for all of `(B, N)`, block after block: `[B, N, ...]` of everything it gives.

        `each` is the bytes one sequence takes, with its history or without. Where memory runs out the blocks are halved
        for good, which is said once.
        """
        while True:
            rows = self.rows(shape, each, device, history=history)
            try:
                done = [[work(some, part) for part in parts] for some, parts in blocks(shape, rows)]
            except RuntimeError as error:
                if rows == 1 or not _is_lack_of_memory(error):
                    raise
            else:
                beside = [[torch.cat(pieces, dim=1) for pieces in zip(*parts, strict=True)] for parts in done]
                return tuple(torch.cat(pieces) for pieces in zip(*beside, strict=True))
            self._halve(rows)

    def rows(self, shape: tuple[int, int], each: int, device: torch.device, *, history: bool) -> int:
        """Most sequences that go through at once."""
        fitting = self._budget(device, history) // each if each else shape[0] * shape[1]
        return max(1, min(fitting, shape[0] * shape[1]) >> self._halvings)

    def _budget(self, device: torch.device, history: bool) -> int:
        if self._memory is not None:
            return self._memory * MIB
        if device.type != "cuda":
            return CPU_HISTORY if history else CPU_CACHED
        if self._free is None:
            self._free = torch.cuda.mem_get_info(device)[0]
        return int(GPU_SHARE * self._free)

    def _halve(self, rows: int) -> None:
        torch.cuda.empty_cache()
        if not self._halvings:
            said = f"memory ran out with {rows} imagined sequences at once; going on with half as many (mpc.memory)"
            warnings.warn(said, RuntimeWarning, stacklevel=3)
        self._halvings += 1


def blocks(shape: tuple[int, int], rows: int) -> list[tuple[slice, list[slice]]]:
    """`(B, N)` in rectangles of at most `rows` sequences, of much the same size: episodes, and their candidates."""
    episodes, candidates = shape
    parts = _pieces(candidates, min(rows, candidates))
    return [(some, parts) for some in _pieces(episodes, max(1, rows // candidates))]


def _pieces(count: int, most: int) -> list[slice]:
    size = -(-count // -(-count // most))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _is_lack_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
