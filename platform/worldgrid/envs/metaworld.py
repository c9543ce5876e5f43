"""The study's Metaworld: a Sawyer arm at a table, 50 tasks. B episodes, n states, X state; metres.

Facts: the 3.1.1 release of Metaworld's v3 tasks on MuJoCo 3.3.0, the pair its authors test; camera `corner2`, moved and
turned over; one step of standing still after a reset; goals are the last frames of the scripted experts' runs (paper,
simulated environments and evaluation protocol). The study used an earlier commit of the same tasks: trajectories of
`reach` and `reach-wall` are the same in 3.0.0 and 3.1.1, those of contact-rich tasks drift with MuJoCo's version.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Flags, Floats, Frames, Goals, Observation, Tasks
from worldgrid.envs.gl import FixedCamera, Scene, draw
from worldgrid.envs.sawyer import STATE, Sawyer, expert
from worldgrid.noise import stream_seed

EXPERT_STEPS = 99
"""Simulator steps of the expert's run to the goal; with the one of standing still, the study's 100."""
CAMERA = FixedCamera("corner2", position=(0.75, 0.075, 0.7), upside_down=True)
"""The study's view; the model gives the camera a field of view of 60 degrees."""

Task = Literal[
    "assembly",
    "basketball",
    "bin-picking",
    "box-close",
    "button-press",
    "button-press-topdown",
    "button-press-topdown-wall",
    "button-press-wall",
    "coffee-button",
    "coffee-pull",
    "coffee-push",
    "dial-turn",
    "disassemble",
    "door-close",
    "door-lock",
    "door-open",
    "door-unlock",
    "drawer-close",
    "drawer-open",
    "faucet-close",
    "faucet-open",
    "hammer",
    "hand-insert",
    "handle-press",
    "handle-press-side",
    "handle-pull",
    "handle-pull-side",
    "lever-pull",
    "peg-insert-side",
    "peg-unplug-side",
    "pick-out-of-hole",
    "pick-place",
    "pick-place-wall",
    "plate-slide",
    "plate-slide-back",
    "plate-slide-back-side",
    "plate-slide-side",
    "push",
    "push-back",
    "push-wall",
    "reach",
    "reach-wall",
    "shelf-place",
    "soccer",
    "stick-pull",
    "stick-push",
    "sweep",
    "sweep-into",
    "window-close",
    "window-open",
]


@final
class Metaworld(EnvSpec):
    """Settings of a task; proprioception = hand (x, y, z) and how far the gripper is open.

    A state is Metaworld's observation (39 numbers, the study's state) and what else the simulator needs to go on.
    """

    kind: Literal["metaworld"] = "metaworld"
    size: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames, pixels (paper: 224; 256 for encoders with patches of 16)."""
    task: Task = "reach"
    """Which of the v3 tasks (paper: `reach` and `reach-wall`)."""
    shadows: bool = True
    """Whether shadows are drawn, as in the study. They are most of the time: without EGL on a GPU, about 8 frames a
    CPU second with them, 40 without, 80 with `samples: 0` as well."""
    samples: int = Field(default=4, ge=0, le=16)
    """Samples per pixel that smooth edges (the model's own: 4)."""

    action_dim: ClassVar[int] = 4
    action_limit: ClassVar[float] = 1.0
    """Displacement of the hand in units of 1 cm and the gripper's effort; the simulator clips at this."""
    proprio_dim: ClassVar[int] = 4
    state_dim: ClassVar[int] = STATE
    drawn_goals: ClassVar[Goals] = "expert"

    def draw_tasks(self, seeds: Sequence[int]) -> Tasks:
        """Starts drawn from the seeds, goals where the scripted expert is after 100 steps of its own."""
        starts = self._starts("task", seeds)
        (sawyer,) = simulators = borrow(self.task, 1)
        goals = []
        for start in starts:
            sawyer.restore(start)
            for _ in range(EXPERT_STEPS):
                sawyer.step(self.expert(sawyer.state()[None])[0])
            goals.append(sawyer.state())
        give_back(self.task, simulators)
        return Tasks(seeds, starts, np.stack(goals))

    def begin(self, tasks: Tasks) -> Arms:
        """Episodes at the starts of these tasks."""
        return Arms(self, tasks.starts, tasks.goals)

    def explore(self, seeds: Sequence[int]) -> Arms:
        """Episodes to collect data from: what lies where is drawn from the seed, the arm starts in its place."""
        starts = self._starts("explore", seeds)
        return Arms(self, starts, starts)

    def expert(self, states: Floats) -> Floats:
        """`[B, X]` states -> `[B, 4]` actions of Metaworld's scripted policy for the task."""
        return expert(self.task, states)

    def render(self, states: Floats) -> Frames:
        """The table from the study's camera. Raises ConfigError where EGL cannot be had."""
        (sawyer,) = simulators = borrow(self.task, 1)
        poses = []
        for state in states:
            sawyer.restore(state)
            poses.append(sawyer.pose())
        give_back(self.task, simulators)
        return draw(self.scene(sawyer.source), np.stack(poses))

    def scene(self, source: str) -> Scene:
        """What is drawn of the model in this file."""
        return Scene(source, self.size, CAMERA, () if self.shadows else ("shadow",), self.samples)

    def _starts(self, purpose: str, seeds: Sequence[int]) -> Floats:
        """`[B, X]` drawn from the seeds."""
        (sawyer,) = simulators = borrow(self.task, 1)
        starts = []
        for seed in seeds:
            sawyer.start(stream_seed("env", self.kind, purpose, seed))
            starts.append(sawyer.state())
        give_back(self.task, simulators)
        return np.stack(starts)


@final
class Arms:
    """A batch of B episodes, each in a simulator of its own."""

    def __init__(self, spec: Metaworld, starts: Floats, goals: Floats) -> None:
        self._spec = spec
        self._goals = goals
        self._sawyers = borrow(spec.task, len(starts))
        self.restore(starts)

    @cached_property
    def goal(self) -> Observation:
        """What the goals look like; for exploring batches, the starts."""
        return self._show(self._goals, self._spec.render(self._goals))

    def observe(self) -> Observation:
        """What the episodes show now."""
        poses = np.stack([sawyer.pose() for sawyer in self._sawyers])
        return self._show(self.state(), draw(self._spec.scene(self._sawyers[0].source), poses))

    def step(self, actions: Floats) -> None:
        """One simulator step of 0.0125 s: `[B, 4]` actions."""
        for sawyer, action in zip(self._sawyers, actions, strict=True):
            sawyer.step(action)

    def state(self) -> Floats:
        """`[B, X]` without rendering."""
        return np.stack([sawyer.state() for sawyer in self._sawyers])

    def distance(self) -> Floats:
        """`[B]` what the task measures: from the object, or the fingers, to the target, metres in most tasks.

        The target is the simulator's, not the pictured goal: `reach`'s expert ends 2 to 5 mm inside its 5 cm.
        """
        return np.array([sawyer.distance for sawyer in self._sawyers])

    def success(self) -> Flags:
        """`[B]` the simulator's test (`reach`: the fingers within 5 cm of the target)."""
        return np.array([sawyer.success for sawyer in self._sawyers])

    def restore(self, state: Floats) -> None:
        """Put the episodes into `[B, X]` states."""
        for sawyer, row in zip(self._sawyers, state, strict=True):
            sawyer.restore(row)

    def close(self) -> None:
        """Leave the simulators to the next batch."""
        give_back(self._spec.task, self._sawyers)
        self._sawyers = []

    def __del__(self) -> None:
        self.close()

    def _show(self, states: Floats, frames: Frames) -> Observation:
        return Observation(frames, states[:, :4].astype(np.float32), states.copy())


_idle: dict[str, list[Sawyer]] = {}
_door = threading.Lock()


def borrow(task: str, wanted: int) -> list[Sawyer]:
    """Simulators of a task that nobody uses: making one takes 0.2 s, and what it did before does not show."""
    with _door:
        idle = _idle.setdefault(task, [])
        found = [idle.pop() for _ in range(min(wanted, len(idle)))]
    return [*found, *(Sawyer(task) for _ in range(wanted - len(found)))]


def give_back(task: str, simulators: list[Sawyer]) -> None:
    """Let others use them."""
    with _door:
        _idle[task].extend(simulators)
