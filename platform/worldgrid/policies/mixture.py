"""Several policies in one data set: each episode is one member's. B episodes, X state, a action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from worldgrid.envs import EnvSpec, Floats
from worldgrid.noise import generator
from worldgrid.policies import POLICIES, Policy, PolicySpec
from worldgrid.spec import JSON, Spec


def _filled(policy: JSON) -> JSON:
    return POLICIES.parse(policy).recipe()


class Member(Spec):
    """A policy and how many of the episodes are its own."""

    policy: Annotated[JSON, AfterValidator(_filled)]
    """A section with a kind."""
    fraction: float = Field(gt=0)
    """Its share of the episodes, relative to the other members'."""


@final
class Mixture(PolicySpec):
    """Settings of the mixture; which member an episode has is drawn from its seed."""

    kind: Literal["mixture"] = "mixture"
    members: tuple[Member, ...] = Field(min_length=1)
    """The policies and their shares."""

    def check(self, env: EnvSpec) -> None:
        """Raises ConfigError where a member does not fit."""
        for member in self.members:
            POLICIES.parse(member.policy).check(env)

    def start(self, env: EnvSpec, seeds: Sequence[int]) -> Mixed:
        """The members, each with its own episodes of the batch."""
        return Mixed(self, env, seeds)


@final
class Mixed:
    """B episodes, dealt out to the members."""

    def __init__(self, spec: Mixture, env: EnvSpec, seeds: Sequence[int]) -> None:
        shares = np.cumsum([member.fraction for member in spec.members])
        drawn = np.array([generator("mixture", seed).random() for seed in seeds])
        chosen = np.searchsorted(shares[:-1] / shares[-1], drawn, side="right")
        self._parts: list[tuple[NDArray[np.intp], Policy]] = []
        for index, member in enumerate(spec.members):
            rows = np.flatnonzero(chosen == index)
            if len(rows):
                own = POLICIES.parse(member.policy).start(env, [seeds[row] for row in rows.tolist()])
                self._parts.append((rows, own))
        self._shape = (len(seeds), env.action_dim)

    def act(self, state: Floats, time: int) -> Floats:
        """`[B, a]` the next actions."""
        actions = np.empty(self._shape)
        for rows, own in self._parts:
            actions[rows] = own.act(state[rows], time)
        return actions
