"""Actions drawn anew, at every simulator step or now and then: the study's PointMaze data. B episodes, a action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Floats
from worldgrid.noise import generator
from worldgrid.policies import PolicySpec


@final
class Uniform(PolicySpec):
    """Every number of an action uniform between minus and plus the environment's action limit."""

    kind: Literal["uniform"] = "uniform"
    hold: int = Field(default=1, ge=1)
    """Simulator steps that every draw is kept; arms that move 1 cm a step get nowhere with 1."""

    def start(self, env: EnvSpec, seeds: Sequence[int]) -> Draws:
        """The draws of a batch."""
        return Draws(self, env, seeds)


@final
class Draws:
    """B streams of actions."""

    def __init__(self, spec: Uniform, env: EnvSpec, seeds: Sequence[int]) -> None:
        self._hold = spec.hold
        self._limit, self._numbers = env.action_limit, env.action_dim
        self._streams = [generator("policy", seed) for seed in seeds]

    def act(self, state: Floats, time: int) -> Floats:
        """`[B, a]` the next actions; they depend on nothing seen."""
        if time % self._hold == 0:
            draws = [stream.uniform(-self._limit, self._limit, self._numbers) for stream in self._streams]
            self._held = np.array(draws)
        return self._held.copy()
