"""A walk whose heading drifts: the motion of the study's Wall data. B episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, final

import numpy as np
from pydantic import Field, model_validator

from worldgrid.envs import EnvSpec, Floats
from worldgrid.noise import generator
from worldgrid.policies import PolicySpec
from worldgrid.spec import ConfigError


@final
class Drift(PolicySpec):
    """Settings of the walk, for environments whose actions have two numbers; lengths in the unit of their actions.

    Defaults are the Wall data's. Environments that take less than `longest` clip.
    """

    kind: Literal["drift"] = "drift"
    turn: float = Field(default=0.2, ge=0)
    """Standard deviation of the heading's change per simulator step, radians."""
    length: float = Field(default=1.0, ge=0)
    """Mean length of an action."""
    spread: float = Field(default=0.4, ge=0)
    """Standard deviation of the length."""
    shortest: float = Field(default=0.2, ge=0)
    """Shorter lengths become this."""
    longest: float = Field(default=1.8, gt=0)
    """Longer lengths become this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError("shortest <= longest fits")
        return self

    def check(self, env: EnvSpec) -> None:
        """Raises ConfigError where actions do not have two numbers."""
        if env.action_dim != 2:
            raise ConfigError(f"policy drift: actions of two numbers fit; those of '{env.kind}' have {env.action_dim}")

    def start(self, env: EnvSpec, seeds: Sequence[int]) -> Walk:
        """The walks of a batch."""
        return Walk(self, seeds)


@final
class Walk:
    """B walks, each with its own noise and a first heading anywhere."""

    def __init__(self, spec: Drift, seeds: Sequence[int]) -> None:
        self._spec = spec
        self._streams = [generator("policy", seed) for seed in seeds]
        self._heading = np.array([stream.uniform(0.0, 2 * np.pi) for stream in self._streams])

    def act(self, state: Floats, time: int) -> Floats:
        """`[B, 2]` the next actions; the walk does not look where it is."""
        noise = np.array([stream.standard_normal(2) for stream in self._streams])
        self._heading = self._heading + self._spec.turn * noise[:, 0]
        length = np.clip(self._spec.length + self._spec.spread * noise[:, 1], self._spec.shortest, self._spec.longest)
        return np.stack([length * np.cos(self._heading), length * np.sin(self._heading)], axis=1)
