"""The simulator's state as the only token: for tests, and to see what an encoder costs. P = 1, D = X state numbers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, final

from torch import Tensor

from worldgrid.encoders import Encoder, EncoderSpec
from worldgrid.envs import EnvSpec


@final
class State(EncoderSpec):
    """No settings and no weights. Not an upper bound: straight-line distance has local optima at walls."""

    kind: Literal["state"] = "state"

    def build(self, env: EnvSpec, weights: Path | None = None) -> StateEncoder:
        """The identity; there are no weights to load."""
        return StateEncoder(env.state_dim)


@final
class StateEncoder(Encoder):
    """One token per state, in the simulator's units."""

    reads: ClassVar[Literal["frames", "state"]] = "state"

    def __init__(self, state_dim: int) -> None:
        super().__init__()
        self.patches, self.width = 1, state_dim
        self.eval()

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, X]` float32 -> `[n, 1, X]`."""
        return seen[:, None]
