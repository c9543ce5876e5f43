"""Metaworld as the study released it: Parquet files of episodes with their videos in them. T frames.

Rows of task, seed, episode, video (MP4 bytes, 100 frames), states `[100, 39]`, actions `[99, 4]`, rewards. Action t
leads from state t to t + 1. The study's loader drops the last frame; here it is what the last action leads to.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Literal, final

import numpy as np

from worldgrid.places import Place
from worldgrid.sources import Contents, CorruptError, Recording, SourceSpec, align
from worldgrid.sources.parquet import Rows, groups
from worldgrid.sources.pictures import frames_of
from worldgrid.sources.video import opened, pictures
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

PROPRIO = 4
"""The first numbers of the state: hand's position and gripper."""
NAME = ["task", "seed", "episode"]


@final
class Metaworld(SourceSpec):
    """Settings of the reader."""

    kind: Literal["metaworld"] = "metaworld"
    tasks: tuple[str, ...] = ()
    """Only these tasks, as the data set calls them; all (paper: 42) where none is named."""

    def contents(self, place: Place) -> Contents:
        """Every row of every file (paper: 12,600 episodes in 126 files)."""
        files = [name for name in place.names() if name.endswith(".parquet")]
        if not files:
            raise ConfigError(f"source {place.address}: has no .parquet file, which Metaworld's release has")
        rows = Rows(place, ["video", "states", "actions"])

        def load(file: str, group: int, row: int, episode: int) -> Trajectory:
            found = rows.group(file, group).slice(row, 1).to_pylist()[0]
            try:
                states = np.asarray(found["states"], np.float64).reshape(-1, 39)
                actions = np.asarray(found["actions"], np.float64).reshape(-1, 4)
                held = found["video"]["bytes"]
            except (TypeError, ValueError) as error:
                raise CorruptError(f"states, actions or video of another shape ({error})") from None
            if not held:
                raise CorruptError("has no video")
            with opened(io.BytesIO(held)) as container:
                frames = frames_of(pictures(container), self.size)
            return align(episode, frames, states[:, :PROPRIO], states, actions)

        recordings = [
            Recording("{task} seed {seed} episode {episode}".format(**name), (file,), partial(load, file, group, row))
            for file in files
            for group, names in enumerate(groups(place, file, NAME))
            for row, name in enumerate(names)
            if not self.tasks or name["task"] in self.tasks
        ]
        if not recordings:
            raise ConfigError(f"source {place.address}: has no episode of tasks {', '.join(self.tasks)}")
        return Contents((), recordings[: self.episodes])
