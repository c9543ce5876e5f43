"""The study's own Franka recordings: an HDF5 file of each episode. T frames, at 30 a second.

`episode_data/observation` holds cartesian_position `[T, 6]`, gripper_position `[T]` and exterior_image_2_left
`[T, height, width, 3]`. Actions are what leads from one kept pose to the next, as for DROID.
"""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Literal, final

import numpy as np
from pydantic import Field

from worldgrid.places import Place
from worldgrid.poses import moves
from worldgrid.sources import Contents, Recording, SourceSpec, align
from worldgrid.sources.hdf5 import numbers, opened, pictures
from worldgrid.sources.pictures import frames_of
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

RECORDED = 30.0
"""Frames a second of the recordings."""
OBSERVED = "episode_data/observation"
CAMERA = "exterior_image_2_left"


@final
class Franka(SourceSpec):
    """Settings of the reader. State and proprioception are the hand's pose and the gripper."""

    kind: Literal["franka"] = "franka"
    size: int = Field(default=256, ge=8, le=1024)
    """S: side of the frames (paper: 256 for DINOv3)."""
    fps: float = Field(default=4.0, gt=0)
    """Frames per second that are kept: every ceil(30 / this)-th, from the first one on (paper: 4)."""

    def contents(self, place: Place) -> Contents:
        """Every episode.h5 below the place, sorted (paper: 16)."""
        files = [name for name in place.names() if name.rpartition("/")[2] == "episode.h5"]
        if not files:
            raise ConfigError(f"source {place.address}: has no episode.h5, which the Franka recordings have")

        def load(file: str, episode: int) -> Trajectory:
            stride = max(1, ceil(RECORDED / self.fps))
            with opened(place, file) as held:
                observed = held[OBSERVED]
                names = ("cartesian_position", "gripper_position")
                pose = np.concatenate([numbers(observed, name)[::stride] for name in names], axis=1)
                frames = frames_of(pictures(observed, CAMERA, stride), self.size)
            return align(episode, frames, pose, pose, moves(pose))

        return Contents((), [Recording(file, (file,), partial(load, file)) for file in files[: self.episodes]])
