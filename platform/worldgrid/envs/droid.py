"""DROID without a robot: plans from a recorded frame to a later one, against what was done. B episodes, S side; metres.

The data are an ingested collect step of kind `droid` or `franka`, at 4 frames a second. Nothing can be acted in: one
plan is made from the first frame, and what is compared is where it would take the hand with where the recording took it
(paper, evaluation protocol; jepa-wms `evals/simu_env_planning`, its dummy environment). The study plans 3 steps ahead
for 64 clips of its Franka recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NoReturn, final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Flags, Floats, Frames, Goals, Observation, Tasks
from worldgrid.poses import follow
from worldgrid.spec import ConfigError

POINTS = 800.0
"""Of the action score, for every metre that is not missed (paper)."""


@final
class Droid(EnvSpec):
    """Settings of the recordings; state and proprioception = the hand's pose (3 + 3 angles) and the gripper."""

    kind: Literal["droid"] = "droid"
    size: int = Field(default=256, ge=8, le=1024)
    """Side of the square frames, pixels, as ingested (paper: 256 for DINOv3)."""
    frameskip: int = Field(default=1, ge=1)
    """Recorded steps per model step (paper: 1)."""
    threshold: float = Field(default=0.1, gt=0)
    """What is missed at most for a success, metres; the study's score of what misses 0.1 is zero."""

    action_dim: ClassVar[int] = 7
    action_limit: ClassVar[float] = 0.1
    """Change of the hand's position (m), of its angles (rad) and of the gripper; the study's plans keep within this,
    the gripper within 0.75."""
    proprio_dim: ClassVar[int] = 7
    state_dim: ClassVar[int] = 7
    drawn_goals: ClassVar[Goals] = "dataset"
    simulated: ClassVar[bool] = False

    def draw_tasks(self, seeds: Sequence[int]) -> Tasks:
        """Nothing is drawn."""
        self._refuse("goals `dataset` fit")

    def begin(self, tasks: Tasks) -> Clips:
        """Recorded clips, at their first frames."""
        return Clips(self, tasks)

    def explore(self, seeds: Sequence[int]) -> Clips:
        """Nothing is collected."""
        self._refuse("`worldgrid ingest` prints the collect section that fits")

    def render(self, states: Floats) -> Frames:
        """Nothing is drawn."""
        self._refuse("only recorded frames can be shown")

    def scores(self, distances: Floats) -> dict[str, float]:
        """The study's action score: 80 where every plan ends where the recording did, 0 from 0.1 m on average."""
        return {"action_score": max(0.0, POINTS * (0.1 - float(distances.mean())))}

    def _refuse(self, instead: str) -> NoReturn:
        raise ConfigError(f"env 'droid' is recordings, without a simulator: {instead}")


@final
class Clips:
    """A batch of B recorded clips, and where the actions since their starts would have led."""

    def __init__(self, spec: Droid, tasks: Tasks) -> None:
        self._spec, self._tasks = spec, tasks
        self._state = tasks.starts.copy()

    @property
    def goal(self) -> Observation:
        """The frames that the plans are to reach."""
        return self._show(1, self._tasks.goals)

    def observe(self) -> Observation:
        """The first frames; raises ConfigError after an action, for nobody has seen what it did."""
        if not np.array_equal(self._state, self._tasks.starts):
            self._spec._refuse("mpc.execute and mpc.horizon as long as mpc.steps fit")
        return self._show(0, self._state)

    def step(self, actions: Floats) -> None:
        """`[B, 7]` actions, added up."""
        self._state = follow(self._state, actions)

    def state(self) -> Floats:
        """`[B, 7]` without a picture."""
        return self._state.copy()

    def distance(self) -> Floats:
        """`[B]` metres: of the sums of planned and recorded displacements, the differences in x, y and z, added up."""
        missed: Floats = np.abs(self._state[:, :3] - self._tasks.goals[:, :3]).sum(axis=1)
        return missed

    def success(self) -> Flags:
        """`[B]` whether the plan misses less than `threshold`."""
        return self.distance() < self._spec.threshold

    def restore(self, state: Floats) -> None:
        """Put the hands into `[B, 7]` poses."""
        self._state = state.copy()

    def close(self) -> None:
        """Nothing is held."""

    def _show(self, which: int, states: Floats) -> Observation:
        if self._tasks.frames is None:
            self._spec._refuse("goals `dataset` fit")
        frames = self._tasks.frames[:, which]
        return Observation(frames, states.astype(np.float32), states.copy())
