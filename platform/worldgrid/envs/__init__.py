"""Environments: batches of B seeded episodes towards a goal. Members are listed here, imported only when asked for.

An episode is a function of its seed alone: the same start, goal and dynamics in any batch, on any worker.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worldgrid.spec import Family, Spec

Frames = NDArray[np.uint8]
"""`[B, S, S, 3]` RGB, 0 to 255."""
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Observation:
    """What B episodes show at one moment."""

    frames: Frames
    proprio: NDArray[np.float32]
    """`[B, Q]`, what the robot feels of itself, in the simulator's units."""
    state: Floats
    """`[B, X]`, the simulator's full state: enough for `render` and `restore`."""


class Env(Protocol):
    """A batch of B episodes that have started."""

    @property
    def goal(self) -> Observation:
        """What the goals look like; for exploring batches, the starts."""
        ...

    def observe(self) -> Observation:
        """What the episodes show now."""
        ...

    def step(self, actions: Floats) -> None:
        """One simulator step: `[B, a]` actions in the simulator's units, clipped to what it can do."""
        ...

    def state(self) -> Floats:
        """`[B, X]` without rendering."""
        ...

    def distance(self) -> Floats:
        """`[B]` how far each episode is from its goal, in the unit the threshold of `success` is written in."""
        ...

    def success(self) -> Flags:
        """`[B]` the study's success test, on the present state."""
        ...

    def restore(self, state: Floats) -> None:
        """Put the episodes into `[B, X]` states."""
        ...

    def close(self) -> None:
        """Free what the batch holds (renderers, processes)."""
        ...


class EnvSpec(Spec):
    """Settings of an environment, and the door to its batches."""

    kind: str
    size: int = Field(default=64, ge=8, le=1024)
    """Side of the square frames, pixels."""
    frameskip: int = Field(default=5, ge=1)
    """Simulator steps per model step; a model action is that many simulator actions (paper: 5)."""

    action_dim: ClassVar[int]
    """a: numbers in one simulator action."""
    action_limit: ClassVar[float]
    """Exploring policies keep each number of a simulator action within plus or minus this, in the simulator's units."""
    proprio_dim: ClassVar[int]
    """Q: numbers in the proprioception."""
    state_dim: ClassVar[int]
    """X: numbers in the full state."""

    @abstractmethod
    def tasks(self, seeds: Sequence[int]) -> Env:
        """Episodes to plan: start and goal of each drawn from its seed, as the study draws them."""

    @abstractmethod
    def explore(self, seeds: Sequence[int]) -> Env:
        """Episodes to collect data from: starts drawn from the seed over the whole space, no goal."""

    @abstractmethod
    def render(self, states: Floats) -> Frames:
        """`[n, X]` states -> `[n, S, S, 3]` frames, equal to what `observe` showed in these states."""


ENVS = Family[EnvSpec](
    "env",
    EnvSpec,  # type: ignore[type-abstract]
    {
        "point": "worldgrid.envs.point:Point",
        "wall": "worldgrid.envs.wall:Wall",
        "pointmaze": "worldgrid.envs.pointmaze:PointMaze",
    },
)
