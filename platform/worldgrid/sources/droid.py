"""DROID as it was recorded (droid_raw 1.0.1): a folder of each episode with its trajectory and its videos. T frames.

trajectory.h5 holds observation/robot_state/{cartesian_position `[T, 6]`, gripper_position `[T]`}; metadata_*.json names
the left camera's video, which lies in recordings/MP4. Actions are what leads from one kept pose to the next.
"""

from __future__ import annotations

import json
from fnmatch import fnmatch
from functools import partial
from math import ceil
from pathlib import PurePosixPath
from typing import Literal, final

import numpy as np
from pydantic import Field

from worldgrid.places import Place
from worldgrid.poses import moves
from worldgrid.sources import Contents, CorruptError, Recording, SourceSpec, align
from worldgrid.sources.hdf5 import numbers
from worldgrid.sources.hdf5 import opened as opened_hdf5
from worldgrid.sources.pictures import frames_of
from worldgrid.sources.video import opened, pictures, rate
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

TRAJECTORY = "trajectory.h5"
STATE = "observation/robot_state"
POSE = ("cartesian_position", "gripper_position")


@final
class Droid(SourceSpec):
    """Settings of the reader. State and proprioception are the hand's pose and the gripper."""

    kind: Literal["droid"] = "droid"
    size: int = Field(default=256, ge=8, le=1024)
    """S: side of the frames, of the central 720 pixels of 1280 (paper: 256 for DINOv3)."""
    fps: float = Field(default=4.0, gt=0)
    """Frames per second that are kept: every ceil(video's / this)-th, from the first one on (paper: 4; its loader
    begins anywhere)."""
    listed: str | None = None
    """A CSV file in the source with an episode's folder in every line; null: every folder with a trajectory.h5."""

    def contents(self, place: Place) -> Contents:
        """Every episode's folder, sorted or as listed (paper: 8,000)."""
        names = place.names()
        shared = () if self.listed is None else (self.listed,)
        if self.listed is None:
            folders = [name.removesuffix(f"/{TRAJECTORY}") for name in names if name.endswith(f"/{TRAJECTORY}")]
        else:
            folders = _listed(place, self.listed)
        if not folders:
            raise ConfigError(f"source {place.address}: has no folder with a {TRAJECTORY}, which DROID has")
        described = {name.rpartition("/")[0]: name for name in names if fnmatch(name, "*/metadata_*.json")}
        return Contents(
            shared, [self._recording(place, folder, described.get(folder)) for folder in folders[: self.episodes]]
        )

    def _recording(self, place: Place, folder: str, metadata: str | None) -> Recording:
        video = None if metadata is None else _video(place, folder, metadata)
        files = (f"{folder}/{TRAJECTORY}", *filter(None, (metadata, video)))
        return Recording(folder, files, partial(self._load, place, folder, video))

    def _load(self, place: Place, folder: str, video: str | None, episode: int) -> Trajectory:
        if video is None:
            raise CorruptError("no metadata that name its left_mp4_path")
        with opened_hdf5(place, f"{folder}/{TRAJECTORY}") as held:
            pose = np.concatenate([numbers(held, f"{STATE}/{name}") for name in POSE], axis=1)
        with place.open(video) as file, opened(file) as container:
            stride = max(1, ceil(rate(container) / self.fps))
            frames = frames_of(pictures(container, stride), self.size)
        kept = pose[::stride]
        return align(episode, frames, kept, kept, moves(kept))


def _listed(place: Place, name: str) -> list[str]:
    """The first column of a CSV without a head, `folder index`."""
    try:
        lines = place.read(name).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"source {place.address}: {name} cannot be read ({error})") from None
    return [line.replace(",", " ").split()[0].strip("/") for line in lines if line.strip()]


def _video(place: Place, folder: str, metadata: str) -> str | None:
    """Where the left camera's video should be; None where the metadata are damaged or do not name it."""
    try:
        named = json.loads(place.read(metadata))["left_mp4_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return f"{folder}/recordings/MP4/{PurePosixPath(str(named)).name}"
