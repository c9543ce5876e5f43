"""Environments: batches of B seeded episodes towards a goal. Members are listed here, imported only when asked for.

An episode is a function of its seed alone: the same start, goal and dynamics in any batch, on any worker.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worldgrid.spec import ConfigError, Family, Spec

Frames = NDArray[np.uint8]
"""`[B, S, S, 3]` RGB, 0 to 255."""
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Goals = Literal["random_state", "expert", "dataset"]
"""Where goals come from, in the study's words: drawn like starts by the environment; where its scripted expert ends;
what a recorded trajectory reached as many steps after its start as an episode has."""


@dataclass(frozen=True)
class Observation:
    """What B episodes show at one moment."""

    frames: Frames
    proprio: NDArray[np.float32]
    """`[B, Q]`, what the robot feels of itself, in the simulator's units."""
    state: Floats
    """`[B, X]`, the simulator's full state: enough for `render` and `restore`."""


@dataclass(frozen=True)
class Tasks:
    """B episodes to plan: where each starts, and what it is to reach."""

    seeds: Sequence[int]
    """Each task's name."""
    starts: Floats
    """`[B, X]`."""
    goals: Floats
    """`[B, X]`."""
    frames: Frames | None = None
    """`[B, 2, S, S, 3]` starts and goals as they were recorded, where no simulator can draw them."""

    def part(self, rows: range) -> Tasks:
        """Some of them."""
        frames = None if self.frames is None else self.frames[rows]
        return Tasks([self.seeds[row] for row in rows], self.starts[rows], self.goals[rows], frames)


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
    drawn_goals: ClassVar[Goals] = "random_state"
    """Where the goals of `draw_tasks` come from."""

    simulated: ClassVar[bool] = True
    """Whether there is a simulator; else episodes are recordings, seen at their starts and goals alone."""

    @abstractmethod
    def draw_tasks(self, seeds: Sequence[int]) -> Tasks:
        """Start and goal of each task drawn from its seed, as the study draws them."""

    @abstractmethod
    def begin(self, tasks: Tasks) -> Env:
        """Episodes at the starts of these tasks; they come from `draw_tasks`, or from recorded states."""

    def tasks(self, seeds: Sequence[int]) -> Env:
        """Episodes to plan, drawn from their seeds."""
        return self.begin(self.draw_tasks(seeds))

    @abstractmethod
    def explore(self, seeds: Sequence[int]) -> Env:
        """Episodes to collect data from: starts drawn from the seed over the whole space, no goal."""

    @abstractmethod
    def render(self, states: Floats) -> Frames:
        """`[n, X]` states -> `[n, S, S, 3]` frames, equal to what `observe` showed in these states."""

    def expert(self, states: Floats) -> Floats:
        """`[B, X]` states -> `[B, a]` what the scripted expert does; raises ConfigError where there is none."""
        raise ConfigError(f"env '{self.kind}' has no scripted expert")

    def complete(self, states: Floats) -> Floats:
        """`[n, any]` states as data sets record them -> `[n, X]`; raises ConfigError where they hold too little."""
        if states.shape[1] != self.state_dim:
            raise ConfigError(
                f"env '{self.kind}': the recorded states have {states.shape[1]} numbers, those of the simulator "
                f"{self.state_dim}: goals from recorded data cannot be had, '{self.drawn_goals}' fits"
            )
        return states

    def scores(self, distances: Floats) -> dict[str, float]:
        """What the study reports of the `[B]` last distances of an evaluation, beside its success rate."""
        return {}

    def lacks(self) -> str:
        """What this machine does not have for it, in words; empty where nothing is known to be missing."""
        return ""

    def geodesic(self, first: Floats, second: Floats) -> Floats | None:
        """`[n, X]` and `[m, X]` states -> `[n, m]` lengths of the shortest ways between them.

        None where the env cannot tell; known at no cost from no states (n = m = 0).
        """
        return None


ENVS = Family[EnvSpec](
    "env",
    EnvSpec,  # type: ignore[type-abstract]
    {
        "droid": "worldgrid.envs.droid:Droid",
        "metaworld": "worldgrid.envs.metaworld:Metaworld",
        "point": "worldgrid.envs.point:Point",
        "wall": "worldgrid.envs.wall:Wall",
        "pointmaze": "worldgrid.envs.pointmaze:PointMaze",
        "pusht": "worldgrid.envs.pusht:PushT",
        "robosuite": "worldgrid.envs.robosuite:Robosuite",
    },
)
