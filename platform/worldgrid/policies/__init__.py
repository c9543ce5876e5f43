"""Policies: what moves the robot while data is collected. They see simulator states, never frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from worldgrid.envs import EnvSpec, Floats
from worldgrid.spec import Family, Spec


class Policy(Protocol):
    """Acts for B episodes, each with its own noise stream."""

    def act(self, state: Floats, time: int) -> Floats:
        """`[B, X]` states at simulator step `time` -> `[B, a]` actions in the simulator's units."""
        ...


class PolicySpec(Spec):
    """Settings of a policy."""

    kind: str

    def check(self, env: EnvSpec) -> None:
        """Raises ConfigError where this environment cannot be moved like this."""

    @abstractmethod
    def start(self, env: EnvSpec, seeds: Sequence[int]) -> Policy:
        """The policy of a batch; episode b's actions depend on `seeds[b]` and its states alone."""


POLICIES = Family[PolicySpec](
    "policy",
    PolicySpec,  # type: ignore[type-abstract]
    {
        "drift": "worldgrid.policies.drift:Drift",
        "expert": "worldgrid.policies.expert:Expert",
        "mixture": "worldgrid.policies.mixture:Mixture",
        "uniform": "worldgrid.policies.uniform:Uniform",
    },
)
