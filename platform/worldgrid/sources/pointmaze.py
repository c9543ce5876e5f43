"""PointMaze as DINO-WM released it (`point_maze`): tables of all episodes, a tensor of frames of each.

N episodes, T frames: states.pth `[N, longest, 4]` (x, y and velocity), actions.pth `[N, longest, 2]`, seq_lengths.pth
`[N]`, obses/episode_000.pth `[T, height, width, 3]` and on.
"""

from __future__ import annotations

from typing import Literal, final

from worldgrid.places import Place
from worldgrid.sources import Contents, SourceSpec
from worldgrid.sources.drawn import drawn
from worldgrid.sources.tables import check, table


@final
class PointMaze(SourceSpec):
    """Settings of the reader. State and proprioception are position and velocity; actions are forces."""

    kind: Literal["pointmaze"] = "pointmaze"

    def contents(self, place: Place) -> Contents:
        """Every episode of the tables (paper: 2,000 of 100 frames)."""
        names = ("states.pth", "actions.pth", "seq_lengths.pth")
        check(place, names, "PointMaze's release")
        states, actions, lengths = (table(place, name) for name in names)
        return Contents(names, drawn(self, place, states, actions, lengths=lengths.astype(int).tolist(), colours=3))
