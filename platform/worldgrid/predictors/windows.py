"""Windows: which earlier frames a frame looks at, and where in the window it finds them.

B clips, h heads, T frames that ask, K >= T frames that are known (the last T of them ask), L tokens, d head width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor

Turn = Callable[[Tensor, int], Tensor]
"""`[B, h, T, L, d]` queries or keys and the slot of the first frame -> the same with their positions."""

View = tuple[Tensor, Tensor, Tensor]
"""What one frame asks and sees: `[B, h, L, d]` queries, `[B, h, tokens, d]` keys and values."""


class Window:
    """What frames see of each other."""

    @abstractmethod
    def views(
        self, queries: Tensor, keys: Tensor, values: Tensor, turn_queries: Turn, turn_keys: Turn
    ) -> Iterator[View]:
        """For each of T frames in order, from `[B, h, T, L, d]` queries and `[B, h, K, L', d]` keys and values."""


@final
class Sliding(Window):
    """The study's: slots are counted from the first frame of the window, and a frame sees all before it.

    What a frame's keys are depends on where the window begins, so they are computed anew when it slides.
    """

    def views(
        self, queries: Tensor, keys: Tensor, values: Tensor, turn_queries: Turn, turn_keys: Turn
    ) -> Iterator[View]:
        """Frame t sees frames <= t."""
        asking, known = queries.shape[2], keys.shape[2]
        queries, keys = turn_queries(queries, known - asking), turn_keys(keys, 0)
        for frame in range(asking):
            end = known - asking + frame + 1
            yield queries[:, :, frame], keys[:, :, :end].flatten(2, 3), values[:, :, :end].flatten(2, 3)


@final
@dataclass(frozen=True)
class Streaming(Window):
    """A band: each frame sees itself, in the last slot, and the `context` - 1 frames before it (ours, not the study's).

    Slots are counted from the frame that looks, so a frame's keys and values, taken before they are turned, are the
    same for all who will ever look at it: they are computed once.
    """

    context: int

    def views(
        self, queries: Tensor, keys: Tensor, values: Tensor, turn_queries: Turn, turn_keys: Turn
    ) -> Iterator[View]:
        """Frame t sees frames t - context + 1 to t."""
        asking, known = queries.shape[2], keys.shape[2]
        for frame in range(asking):
            end = known - asking + frame + 1
            first = max(0, end - self.context)
            query = turn_queries(queries[:, :, frame : frame + 1], self.context - 1)
            seen = turn_keys(keys[:, :, first:end], self.context - (end - first))
            yield query[:, :, 0], seen.flatten(2, 3), values[:, :, first:end].flatten(2, 3)
