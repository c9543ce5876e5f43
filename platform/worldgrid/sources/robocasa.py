"""RoboCasa demonstrations as the study released them: one HDF5 file, a group of each. T frames.

`data/demo_k` holds actions, of which the first 7 are used, and obs/robot0_{eef_pos, eef_quat, gripper_qpos,
leftview_image}. MuJoCo's own states differ in length from kitchen to kitchen; the state here is the proprioception.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Literal, final

import numpy as np

from worldgrid.places import Place
from worldgrid.poses import quaternion_angles
from worldgrid.sources import Contents, CorruptError, Recording, SourceSpec, align
from worldgrid.sources.hdf5 import numbers, opened, pictures
from worldgrid.sources.pictures import frames_of
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

ACTIONS = 7
CAMERA = "robot0_leftview_image"


@final
class RoboCasa(SourceSpec):
    """Settings of the reader. Proprioception is the hand's position, its angles and the first finger's place."""

    kind: Literal["robocasa"] = "robocasa"

    def contents(self, place: Place) -> Contents:
        """Every demonstration, in the order of their numbers (paper: 16)."""
        files = [name for name in place.names() if name.endswith((".hdf5", ".h5"))]
        if len(files) != 1:
            raise ConfigError(f"source {place.address}: has {len(files)} HDF5 files; RoboCasa's release has one")
        try:
            with opened(place, files[0]) as held:
                demos = sorted(held["data"], key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
        except CorruptError as error:
            raise ConfigError(f"source {place.address}: {error}") from None

        def load(demo: str, episode: int) -> Trajectory:
            with opened(place, files[0]) as held:
                return _trajectory(held[f"data/{demo}"], episode, self.size)

        return Contents((files[0],), [Recording(demo, (), partial(load, demo)) for demo in demos[: self.episodes]])


def _trajectory(demo: Any, episode: int, size: int) -> Trajectory:
    turned = quaternion_angles(numbers(demo, "obs/robot0_eef_quat"))
    fingers = numbers(demo, "obs/robot0_gripper_qpos")[:, :1]
    pose = np.concatenate([numbers(demo, "obs/robot0_eef_pos"), turned, fingers], axis=1)
    frames = frames_of(pictures(demo, f"obs/{CAMERA}"), size)
    return align(episode, frames, pose, pose, numbers(demo, "actions")[:, :ACTIONS])
