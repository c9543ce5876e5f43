"""robosuite's Panda at a table: reach, pick or place an object. B episodes, n states, X state; metres, radians.

robosuite needs NumPy below 2 and MuJoCo below 3.10: it runs in a Python and a process of its own (`make robosuite`,
`robosuite_child.py`). Facts: the study's RoboCasa task, PnPCounterTop, with its subtasks, tests, action scale and
repeated actions (paper, evaluation protocol; jepa-wms `evals/simu_env_planning`). Differences: robosuite's own `Lift`
and `PickPlaceCan` stand in for the kitchen; robosuite 1.5.2 on MuJoCo 3.9 replaces forks from before 1.5 (operational
space control was rewritten in 1.5, and contacts drift with MuJoCo's version); starts and goals come from a scripted
expert instead of 16 demonstrations. `counter_top` is RoboCasa's task: it needs the package and 20 GB of its assets in
that Python, was never run here, and has no expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Flags, Floats, Frames, Goals, Observation, Tasks
from worldgrid.envs.robosuite_process import Built, ask, lacks
from worldgrid.noise import stream_seed
from worldgrid.spec import ConfigError

Subtask = Literal["reach", "pick", "place"]
SUBTASKS: tuple[Subtask, ...] = ("reach", "pick", "place")
"""In the order in which the expert does them."""
STEPS = {"reach": 12, "pick": 16, "place": 24}
"""Simulator steps of the expert's run through each."""
STATES = {"lift": 79, "pick_place": 136, "counter_top": 2048}
"""X of each task; RoboCasa's differs from kitchen to kitchen, and the rest is zero."""
HAND, PROPRIO, OBJECT, TARGET = slice(0, 3), slice(0, 7), slice(7, 10), slice(10, 13)
RISE, HEIGHT, EFFORT = 13, 14, 16
"""Where a state's first numbers are: the object's highest rise so far, its first height, the gripper's effort (1: as
closed as it gets). What follows is the simulator's."""
ABOVE = np.array([0.0, 0.0, 0.1])
"""The expert comes from above, and carries so high again."""


@final
class Robosuite(EnvSpec):
    """Settings of a task; proprioception = hand (x, y, z, angles about x, y, z) and one finger's place.

    A simulator step is one action, of which `repeat` control steps (at 20 Hz) are made: 4 Hz, as DROID's frames.
    """

    kind: Literal["robosuite"] = "robosuite"
    size: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames, pixels (paper: 224; 256 for encoders with patches of 16)."""
    frameskip: int = Field(default=1, ge=1)
    """Simulator steps per model step (paper: 1, of which each is made 5 times)."""
    task: Literal["lift", "pick_place", "counter_top"] = "lift"
    """robosuite's `Lift` and `PickPlaceCan`, RoboCasa's `PnPCounterTop`."""
    subtask: Subtask = "reach"
    """What is planned (paper: reach and place; picking hardly ever succeeds)."""
    repeat: int = Field(default=5, ge=1)
    """Control steps that each action is made for, undivided (paper: 5)."""
    camera: str | None = None
    """One of the model's cameras; null: one that sees all, in RoboCasa `robot0_leftview` as in the study."""
    near: float = Field(default=0.2, gt=0)
    """`reach`: the hand nearer to the object than this, metres (paper: 0.2)."""
    placed: float = Field(default=0.15, gt=0)
    """`place`: the object nearer to its place in the goal than this, metres (paper: 0.15)."""
    lifted: float = Field(default=0.05, gt=0)
    """`pick`: the object was at least so much above its first place, at any moment, metres (paper: 0.05)."""

    action_dim: ClassVar[int] = 7
    action_limit: ClassVar[float] = 0.05
    """A step's change of the hand, metres and radians, and the gripper, of which only the sign counts (above zero
    closes). The controller takes at most 0.05 m and 0.5 rad and makes a part of it in each control step."""
    proprio_dim: ClassVar[int] = 7
    drawn_goals: ClassVar[Goals] = "expert"

    @property
    def state_dim(self) -> int:  # type: ignore[override]
        """X: numbers in the full state of the task."""
        return STATES[self.task]

    def draw_tasks(self, seeds: Sequence[int]) -> Tasks:
        """Starts drawn from the seeds, or where the expert began the subtask; goals where it ended it."""
        states = self._drawn("task", seeds)
        for subtask in SUBTASKS[: SUBTASKS.index(self.subtask)]:
            states = self._follow(subtask, states)
        return Tasks(seeds, states, self._follow(self.subtask, states))

    def begin(self, tasks: Tasks) -> Robots:
        """Episodes at the starts of these tasks."""
        return Robots(self, tasks.starts, tasks.goals)

    def explore(self, seeds: Sequence[int]) -> Robots:
        """Episodes to collect data from: the hand starts anywhere over the table, away from the object."""
        starts = self._drawn("explore", seeds)
        return Robots(self, starts, starts)

    def render(self, states: Floats) -> Frames:
        """What the camera sees. Raises ConfigError where EGL or the environment cannot be had."""
        frames: Frames = ask(self.built, "draw", arrays=[states])
        assert frames.any(axis=(1, 2, 3)).all(), "robosuite drew a black frame: its OpenGL context is lost"
        return frames

    def step(self, states: Floats, actions: Floats) -> Floats:
        """`[n, X]` states and `[n, 7]` actions -> `[n, X]` states."""
        followed: Floats = ask(self.built, "step", arrays=[states, actions])
        return followed

    def expert(self, states: Floats) -> Floats:
        """`[B, X]` states -> `[B, 7]` what our script does next for the subtask."""
        if self.task == "counter_top":
            raise ConfigError("env 'robosuite' has no scripted expert for counter_top; goals `dataset` fit")
        return np.array([expert(self.subtask, state) for state in states]).reshape(-1, self.action_dim)

    def lacks(self) -> str:
        """The environment that robosuite runs in, unless `make robosuite` has made it."""
        return lacks()

    @property
    def built(self) -> Built:
        """What its process builds."""
        return Built(self.task, self.camera, self.size, self.repeat, self.state_dim)

    def _drawn(self, purpose: str, seeds: Sequence[int]) -> Floats:
        own = [stream_seed("env", self.kind, purpose, seed) for seed in seeds]
        starts: Floats = ask(self.built, "start", seeds=own)
        return starts

    def _follow(self, subtask: Subtask, states: Floats) -> Floats:
        own = self.model_copy(update={"subtask": subtask})
        for _ in range(STEPS[subtask]):
            states = own.step(states, own.expert(states))
        return states


@final
class Robots:
    """A batch of B episodes: nothing but their states, for one process serves all batches."""

    def __init__(self, spec: Robosuite, starts: Floats, goals: Floats) -> None:
        self._spec = spec
        self._goals = goals.copy()
        self._states = starts.copy()

    @cached_property
    def goal(self) -> Observation:
        """What the goals look like; for exploring batches, the starts."""
        return self._show(self._goals)

    def observe(self) -> Observation:
        """What the episodes show now."""
        return self._show(self._states)

    def step(self, actions: Floats) -> None:
        """One simulator step of `repeat` times 0.05 s: `[B, 7]` actions."""
        self._states = self._spec.step(self._states, actions)

    def state(self) -> Floats:
        """`[B, X]` without rendering."""
        return self._states.copy()

    def distance(self) -> Floats:
        """`[B]` metres: hand to object (reach), what is missing of the rise (pick), object to its new place (place)."""
        states = self._states
        if self._spec.subtask == "pick":
            return self._spec.lifted - states[:, RISE]
        there = states[:, HAND] if self._spec.subtask == "reach" else self._goals[:, OBJECT]
        return np.asarray(np.linalg.norm(states[:, OBJECT] - there, axis=1))

    def success(self) -> Flags:
        """`[B]` the study's tests."""
        nearest = {"reach": self._spec.near, "pick": 0.0, "place": self._spec.placed}[self._spec.subtask]
        return self.distance() < nearest

    def restore(self, state: Floats) -> None:
        """Put the episodes into `[B, X]` states."""
        self._states = state.copy()

    def close(self) -> None:
        """Nothing is held."""

    def _show(self, states: Floats) -> Observation:
        return Observation(self._spec.render(states), states[:, PROPRIO].astype(np.float32), states.copy())


def expert(subtask: Subtask, state: Floats) -> Floats:
    """`[X]` -> `[7]` half of what is missing to the next place, and the gripper; all it knows is in the state."""
    hand, thing, target = state[HAND], state[OBJECT], state[TARGET]
    between = np.linalg.norm(hand - thing) < 0.03
    there, close = thing + ABOVE, False
    if subtask == "place" and np.linalg.norm((thing - target)[:2]) < 0.04:
        low, opened = thing[2] < state[HEIGHT] + 0.03, state[EFFORT] < -0.99
        there, close = (hand + ABOVE * opened, False) if low else (hand + target - thing, True)
    elif subtask != "reach" and between:
        up = state[HEIGHT] + 2 * ABOVE[2]
        there, close = hand if state[EFFORT] < 0.99 else np.append(thing[:2], up), True
        if subtask == "place" and thing[2] > up - 0.05:
            there = np.append(target[:2], up)
    elif subtask != "reach" and np.linalg.norm((hand - thing)[:2]) < 0.02:
        there = thing
    return np.concatenate([np.clip((there - hand) / 2, -0.05, 0.05), np.zeros(3), [1.0 if close else -1.0]])
