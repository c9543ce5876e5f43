"""Wall as DINO-WM released it (`wall_single`): tables of all episodes, a tensor of frames of each.

N episodes, T frames: states.pth `[N, T, 2]` (x, y in pixels of a 65 px image), actions.pth `[N, T, 2]`,
obses/episode_000.pth `[T, 3, height, width]` and on. Where wall and door are differs between episodes; the study trains
on all of them (door_locations.pth and wall_locations.pth are not read).
"""

from __future__ import annotations

from typing import Literal, final

from worldgrid.places import Place
from worldgrid.sources import Contents, SourceSpec
from worldgrid.sources.drawn import drawn
from worldgrid.sources.tables import check, table


@final
class Wall(SourceSpec):
    """Settings of the reader. State and proprioception are the position; actions are displacements."""

    kind: Literal["wall"] = "wall"

    def contents(self, place: Place) -> Contents:
        """Every episode of the tables (paper: 1,920 of 50 frames)."""
        names = ("states.pth", "actions.pth")
        check(place, names, "Wall's release")
        states, actions = (table(place, name) for name in names)
        lengths = [states.shape[1]] * len(states)
        return Contents(names, drawn(self, place, states, actions, lengths=lengths, colours=1))
