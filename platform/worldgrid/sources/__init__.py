"""Sources: readers of data sets as others released them. Each knows one layout, and of it everything.

T frames, S frame side, Q proprio, X state, a simulator action. Facts: the study's loaders (jepa-wms
`app/plan_common/datasets`, `src/datasets`) and its data cards; every frame of a recording is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worldgrid.envs import Frames
from worldgrid.places import Place
from worldgrid.spec import Family, Spec
from worldgrid.trajectories import Trajectory


class CorruptError(Exception):
    """One recording cannot be used; the message says why. The others can."""


class Recording(NamedTuple):
    """One episode of a data set, not read yet."""

    name: str
    """What people find it by."""
    files: tuple[str, ...]
    """What holds it, beside the files that all share."""
    load: Callable[[int], Trajectory]
    """Reads it, as the episode of this number; raises CorruptError."""


class Contents(NamedTuple):
    """What a data set holds."""

    shared: tuple[str, ...]
    """Files that all recordings need."""
    recordings: Sequence[Recording]


class SourceSpec(Spec):
    """Settings of a reader."""

    kind: str
    size: int = Field(default=224, ge=8, le=1024)
    """S: side of the frames; others are cut to their central square and resized (paper: 224, DROID's DINOv3 256)."""
    episodes: int | None = Field(default=None, ge=1)
    """Only so many recordings, the first ones."""

    @abstractmethod
    def contents(self, place: Place) -> Contents:
        """What there is, without reading frames; raises ConfigError where the layout is another one."""


def align(
    episode: int,
    frames: Frames,
    proprio: NDArray[np.floating],
    states: NDArray[np.floating],
    actions: NDArray[np.floating],
) -> Trajectory:
    """A trajectory of as many frames as were both drawn and measured; raises CorruptError where they do not belong.

    `[T, S, S, 3]`, `[T, Q]`, `[T, X]`, `[T - 1 or more, a]`. Released videos may lack their last frame, or have one
    that was not measured any more: then the rest is the recording.
    """
    drawn, measured = len(frames), len(states)
    if abs(drawn - measured) > 1:
        raise CorruptError(f"{drawn} frames for {measured} states")
    kept = min(drawn, measured)
    if kept < 2:
        raise CorruptError(f"{kept} frames; a trajectory has two or more")
    if len(proprio) < kept or len(actions) < kept - 1:
        raise CorruptError(f"{len(proprio)} proprioceptions and {len(actions)} actions for {kept} frames")
    parts = proprio[:kept], states[:kept], actions[: kept - 1]
    if not all(np.isfinite(part).all() for part in parts):
        raise CorruptError("a number is NaN or infinite")
    proprio, states, actions = parts
    return Trajectory(
        episode,
        frames[:kept],
        np.ascontiguousarray(proprio, np.float32),
        np.ascontiguousarray(states, np.float64),
        np.ascontiguousarray(actions, np.float32),
    )


SOURCES = Family[SourceSpec](
    "source",
    SourceSpec,  # type: ignore[type-abstract]
    {
        "droid": "worldgrid.sources.droid:Droid",
        "franka": "worldgrid.sources.franka:Franka",
        "lerobot": "worldgrid.sources.lerobot:LeRobot",
        "metaworld": "worldgrid.sources.metaworld:Metaworld",
        "pointmaze": "worldgrid.sources.pointmaze:PointMaze",
        "pusht": "worldgrid.sources.pusht:PushT",
        "robocasa": "worldgrid.sources.robocasa:RoboCasa",
        "wall": "worldgrid.sources.wall:Wall",
    },
)
