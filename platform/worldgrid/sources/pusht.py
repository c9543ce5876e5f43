"""Push-T as DINO-WM released it (`pusht_noise`): tables of all episodes, a video of each. N episodes, T frames.

`train` and `val` each hold states.pth `[N, longest, 5]` (agent x, y, block x, y, angle), velocities.pth and
rel_actions.pth `[N, longest, 2]`, seq_lengths.pkl, obses/episode_000.mp4 and on.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, final

import numpy as np

from worldgrid.places import Place
from worldgrid.sources import Contents, Recording, SourceSpec, align
from worldgrid.sources.pictures import frames_of
from worldgrid.sources.tables import check, table, whole_numbers
from worldgrid.sources.video import opened, pictures
from worldgrid.trajectories import Trajectory

ACTION_UNIT = 100.0
"""Recorded displacements are pixels; the study's actions are a hundredth of them (jepa-wms `pusht_dset.py`)."""


@final
class PushT(SourceSpec):
    """Settings of the reader. Proprioception is the agent's position and velocity; the state has both and the block."""

    kind: Literal["pusht"] = "pusht"
    part: Literal["train", "val"] = "train"
    """Which of the two folders (paper: 18,685 and 21 episodes)."""

    def contents(self, place: Place) -> Contents:
        """Every episode that has a length."""
        names = [f"{self.part}/{name}" for name in ("states.pth", "velocities.pth", "rel_actions.pth")]
        counted = f"{self.part}/seq_lengths.pkl"
        check(place, (*names, counted), "Push-T's release")
        states, velocities, actions = (table(place, name).astype(np.float64) for name in names)
        proprio = np.concatenate([states[..., :2], velocities], axis=2)
        whole = np.concatenate([states, velocities], axis=2)
        lengths = whole_numbers(place, counted)[: self.episodes]

        def load(file: str, row: int, episode: int) -> Trajectory:
            steps = slice(0, lengths[row])
            with place.open(file) as video, opened(video) as container:
                frames = frames_of(pictures(container), self.size)
            return align(episode, frames, proprio[row, steps], whole[row, steps], actions[row, steps] / ACTION_UNIT)

        files = [f"{self.part}/obses/episode_{row:03d}.mp4" for row in range(len(lengths))]
        found = [Recording(file, (file,), partial(load, file, row)) for row, file in enumerate(files)]
        return Contents((*names, counted), found)
