"""What an environment's scripted expert does, with noise if wanted. B episodes, X state, a action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from pydantic import Field

from worldgrid.envs import EnvSpec, Floats
from worldgrid.noise import generator
from worldgrid.policies import PolicySpec


@final
class Expert(PolicySpec):
    """Settings of the expert."""

    kind: Literal["expert"] = "expert"
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of what is added to every number of an action, in shares of the environment's action limit."""

    def check(self, env: EnvSpec) -> None:
        """Raises ConfigError where there is no expert."""
        env.expert(np.zeros((0, env.state_dim)))

    def start(self, env: EnvSpec, seeds: Sequence[int]) -> NoisyExpert:
        """The expert of a batch."""
        return NoisyExpert(self, env, seeds)


@final
class NoisyExpert:
    """The expert, and B streams of noise."""

    def __init__(self, spec: Expert, env: EnvSpec, seeds: Sequence[int]) -> None:
        self._spread, self._env = spec.noise * env.action_limit, env
        self._streams = [generator("policy", seed) for seed in seeds]

    def act(self, state: Floats, time: int) -> Floats:
        """`[B, a]` the next actions, within the environment's action limit."""
        noise = np.array([stream.standard_normal(self._env.action_dim) for stream in self._streams])
        actions = self._env.expert(state) + self._spread * noise
        return actions.clip(-self._env.action_limit, self._env.action_limit)
