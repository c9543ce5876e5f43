"""Encoders: frames -> patch tokens. Frozen while a predictor trains and while a planner plans."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from worldgrid.envs import EnvSpec
from worldgrid.spec import Family, Spec

WEIGHTS = "encoder.safetensors"
"""What the stage `pretrain` leaves in its folder, and `build` reads."""


class Encoder(nn.Module):
    """A network from observations to tokens."""

    reads: ClassVar[Literal["frames", "state"]] = "frames"
    """What `forward` takes of an observation."""
    patches: int
    """P: tokens per frame."""
    width: int
    """D: numbers per token."""

    @abstractmethod
    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 frames (or `[n, X]` float32 states) -> `[n, P, D]` float32 tokens."""

    def standardise(self, frames: Tensor) -> None:
        """Before learning: take what statistics it needs from `[n, S, S, 3]` uint8 frames of the data."""


class Frozen(NamedTuple):
    """Weights from outside that no stage makes."""

    path: Path
    """The file or folder, on this machine."""
    content: str
    """SHA-256 of what was read from it, in hexadecimal."""


class EncoderSpec(Spec):
    """Settings of an encoder's network."""

    kind: str

    learned: ClassVar[bool] = False
    """Whether the stage `pretrain` makes its weights."""

    def check(self, env: EnvSpec) -> None:
        """Raises ConfigError where it cannot read the env's frames."""

    def frozen(self, path: Path | None = None, *, download: bool = True) -> Frozen | None:
        """Weights from outside, at `path` or where the settings say; None without such.

        Their content, not their place, enters the key of every step that uses them: `recipe` leaves the place out.
        Fetches them if need be, unless told not to `download`, and raises ConfigError when they cannot be had. Builds
        nothing.
        """
        return None

    @abstractmethod
    def build(self, env: EnvSpec, weights: Path | None = None) -> Encoder:
        """The network, in eval mode.

        `weights` is the folder of a `pretrain` step, or the path of frozen weights; without, a learned encoder is new
        and can learn, and frozen weights are where the settings say.
        """


ENCODERS = Family[EncoderSpec](
    "encoder",
    EncoderSpec,  # type: ignore[type-abstract]
    {
        "contrastive": "worldgrid.encoders.contrastive:Contrastive",
        "pixels": "worldgrid.encoders.pixels:Pixels",
        "state": "worldgrid.encoders.state:State",
        "timm": "worldgrid.encoders.timm:Timm",
        "vjepa": "worldgrid.encoders.vjepa:VJEPA",
    },
)
