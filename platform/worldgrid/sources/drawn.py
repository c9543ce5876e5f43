"""What DINO-WM's PointMaze and Wall have in common: tables of all episodes and a tensor of frames of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldgrid.places import Place
from worldgrid.sources import CorruptError, Recording, SourceSpec, align
from worldgrid.sources.pictures import frames_of, to_bytes
from worldgrid.sources.tables import tensor
from worldgrid.trajectories import Trajectory


def drawn(
    source: SourceSpec,
    place: Place,
    states: NDArray[Any],
    actions: NDArray[Any],
    *,
    lengths: Sequence[int],
    colours: int,
) -> list[Recording]:
    """`obses/episode_000.pth` and on, whose axis number `colours` holds red, green and blue.

    `[N, longest, X]` states, which are the proprioception too, and `[N, longest, a]` actions, of which episode n has
    `lengths[n]`.
    """

    def load(file: str, row: int, episode: int) -> Trajectory:
        held = tensor(place, file)
        if held.ndim != 4 or held.shape[colours] != 3:
            raise CorruptError(f"frames of shape {list(held.shape)}")
        frames = frames_of(to_bytes(np.moveaxis(held, colours, -1)), source.size)
        measured = states[row, : lengths[row]]
        return align(episode, frames, measured, measured, actions[row, : lengths[row]])

    files = [f"obses/episode_{row:03d}.pth" for row in range(len(lengths))][: source.episodes]
    return [Recording(file, (file,), partial(load, file, row)) for row, file in enumerate(files)]
