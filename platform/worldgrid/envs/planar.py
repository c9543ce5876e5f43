"""Robots in a plane whose next state follows from state and action alone. B episodes, X state, a action, S side.

Such an environment is five functions: where episodes start, which tasks there are, what an action does, how a state
looks, how near is near enough. The first two numbers of a state are the position, and the robot feels all of it, unless
a member says otherwise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Flags, Floats, Observation, Tasks
from worldgrid.noise import generator


class PlanarSpec(EnvSpec):
    """Settings of a planar environment."""

    threshold: float = Field(gt=0)
    """A final position nearer to the goal than this is a success, in the unit of the position."""

    @abstractmethod
    def draw_start(self, stream: np.random.Generator) -> Floats:
        """`[X]` where an exploring episode starts."""

    @abstractmethod
    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """`[X]` start and `[X]` goal of an episode to plan."""

    @abstractmethod
    def advance(self, states: Floats, actions: Floats) -> Floats:
        """`[B, X]` states after one simulator step with `[B, a]` actions; rows do not mix."""

    def feel(self, states: Floats) -> Floats:
        """`[B, X]` states -> `[B, Q]` proprioception; all of the state, unless a member says otherwise."""
        return states

    def apart(self, states: Floats, goals: Floats) -> Floats:
        """`[B]` distance of the positions from the goals, in the unit of the position."""
        return np.hypot(states[:, 0] - goals[:, 0], states[:, 1] - goals[:, 1])

    def reached(self, states: Floats, goals: Floats) -> Flags:
        """`[B]` whether the positions are nearer to the goals than the threshold."""
        return self.apart(states, goals) < self.threshold

    def draw_tasks(self, seeds: Sequence[int]) -> Tasks:
        """Start and goal of each task drawn from its seed."""
        drawn = [self.draw_task(generator("env", self.kind, "task", seed)) for seed in seeds]
        return Tasks(seeds, np.stack([start for start, _ in drawn]), np.stack([goal for _, goal in drawn]))

    def begin(self, tasks: Tasks) -> Episodes:
        """Episodes at the starts of these tasks."""
        return Episodes(self, tasks.starts, tasks.goals)

    def explore(self, seeds: Sequence[int]) -> Episodes:
        """Episodes to collect data from: starts drawn from the seed over the whole space, no goal."""
        starts = np.stack([self.draw_start(generator("env", self.kind, "explore", seed)) for seed in seeds])
        return Episodes(self, starts, starts)


@final
class Episodes:
    """A batch of B episodes of a planar environment."""

    def __init__(self, spec: PlanarSpec, starts: Floats, goals: Floats) -> None:
        self._spec = spec
        self._states = starts
        self._goals = goals

    @cached_property
    def goal(self) -> Observation:
        """What the goals look like; for exploring batches, the starts."""
        return self._show(self._goals)

    def observe(self) -> Observation:
        """What the episodes show now."""
        return self._show(self._states)

    def step(self, actions: Floats) -> None:
        """One simulator step: `[B, a]` actions in the simulator's units."""
        self._states = self._spec.advance(self._states, actions)

    def state(self) -> Floats:
        """`[B, X]` without rendering."""
        return self._states.copy()

    def distance(self) -> Floats:
        """`[B]` how far each episode is from its goal."""
        return self._spec.apart(self._states, self._goals)

    def success(self) -> Flags:
        """`[B]` whether the goals are reached."""
        return self._spec.reached(self._states, self._goals)

    def restore(self, state: Floats) -> None:
        """Put the episodes into `[B, X]` states."""
        assert state.shape == self._states.shape, f"{state.shape} states for {self._states.shape}"
        self._states = np.array(state, dtype=np.float64)

    def close(self) -> None:
        """Nothing to free: a batch is two arrays."""

    def _show(self, states: Floats) -> Observation:
        return Observation(self._spec.render(states), self._spec.feel(states).astype(np.float32), states.copy())


def straight(first: Floats, second: Floats) -> Floats:
    """`[n, >= 2]` and `[m, >= 2]` places -> `[n, m]` distances as the crow flies."""
    apart = first[:, None, :2] - second[None, :, :2]
    distances: Floats = np.hypot(apart[..., 0], apart[..., 1])
    return distances


def through_door(first: Floats, second: Floats, faces: tuple[float, float], door: tuple[float, float]) -> Floats:
    """`[n, >= 2]` and `[m, >= 2]` places in two rooms -> `[n, m]` lengths of the shortest ways between them.

    A wall fills x between its two `faces` but for a `door`, the y between its two edges. Rooms and door are convex, so
    a shortest way is a straight line, or bends at corners of the door only.
    """
    corners = np.array([[x, y] for x in faces for y in door])

    def unbent(one: Floats, two: Floats) -> Floats:
        return np.where(_open(one, two, faces, door), straight(one, two), np.inf)

    there = (unbent(first, corners)[:, :, None] + straight(corners, corners)).min(axis=1)
    bent = (there[:, :, None] + unbent(corners, second)).min(axis=1)
    shortest: Floats = np.minimum(unbent(first, second), bent)
    return shortest


def _open(first: Floats, second: Floats, faces: tuple[float, float], door: tuple[float, float]) -> Flags:
    """`[n, m]` whether the straight lines between places pass every face of the wall within the door."""
    one, two = first[:, None, :2], second[None, :, :2]
    free = np.ones((len(first), len(second)), bool)
    for face in faces:
        before, behind = face - one[..., 0], two[..., 0] - face
        crosses = before * behind > 0
        share = np.divide(before, before + behind, out=np.zeros_like(before + behind), where=crosses)
        across = one[..., 1] + share * (two[..., 1] - one[..., 1])
        free &= ~crosses | ((door[0] <= across) & (across <= door[1]))
    return free
