"""Robots in a plane whose next state follows from state and action alone. B episodes, X state, a action, S side.

Such an environment is five functions: where episodes start, which tasks there are, what an action does, how a state
looks, how near is near enough. The first two numbers of a state are the position, and the robot feels all of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Flags, Floats, Observation
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

    def tasks(self, seeds: Sequence[int]) -> Episodes:
        """Episodes to plan: start and goal of each drawn from its seed."""
        drawn = [self.draw_task(generator("env", self.kind, "task", seed)) for seed in seeds]
        return Episodes(self, np.stack([start for start, _ in drawn]), np.stack([goal for _, goal in drawn]))

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
        """`[B]` distance of the positions from the goals, in the unit of the position."""
        apart = self._states - self._goals
        return np.hypot(apart[:, 0], apart[:, 1])

    def success(self) -> Flags:
        """`[B]` whether the positions are nearer to the goals than the threshold."""
        return self.distance() < self._spec.threshold

    def restore(self, state: Floats) -> None:
        """Put the episodes into `[B, X]` states."""
        assert state.shape == self._states.shape, f"{state.shape} states for {self._states.shape}"
        self._states = np.array(state, dtype=np.float64)

    def close(self) -> None:
        """Nothing to free: a batch is two arrays."""

    def _show(self, states: Floats) -> Observation:
        return Observation(self._spec.render(states), states.astype(np.float32), states.copy())
