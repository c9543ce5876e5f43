"""Predictors: a window of latents and actions -> the latents that come next."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from worldgrid.spec import Family, Spec


class Latent(NamedTuple):
    """Encoded frames of B clips."""

    visual: Tensor
    """`[B, T, P, D]` patch tokens."""
    proprio: Tensor | None = None
    """`[B, T, C, E]` embedded proprioception, where the predictor uses it: one copy on each of C = P patches, which a
    prediction makes different, or C = 1 where it has a token of its own."""

    @property
    def frames(self) -> int:
        """T."""
        return self.visual.shape[1]

    def map(self, change: Callable[[Tensor], Tensor]) -> Latent:
        """The same change of batch or time made to both."""
        return Latent(change(self.visual), None if self.proprio is None else change(self.proprio))

    def last(self, frames: int) -> Latent:
        """The last `frames` frames of every clip."""
        return self.map(lambda z: z[:, -frames:])

    def detach(self) -> Latent:
        """The same numbers without their history."""
        return self.map(torch.Tensor.detach)


def join(first: Latent, second: Latent) -> Latent:
    """Two clips one after the other, along time."""
    visual = torch.cat([first.visual, second.visual], dim=1)
    if first.proprio is None or second.proprio is None:
        return Latent(visual)
    return Latent(visual, torch.cat([first.proprio, second.proprio], dim=1))


@dataclass(frozen=True)
class Shapes:
    """What a predictor must fit."""

    patches: int
    """P: tokens per frame."""
    width: int
    """D: numbers per token."""
    action: int
    """A: numbers in one model action (frameskip x simulator action)."""
    proprio: int
    """Q: numbers of raw proprioception."""


class Predictor(nn.Module):
    """A network that is causal over frames."""

    context: int
    """W: the most frames it is made to look at."""

    @abstractmethod
    def embed(self, proprio: Tensor) -> Tensor | None:
        """`[B, T, Q]` standardised proprioception -> `[B, T, C, E]`, or None where it is not used."""

    @abstractmethod
    def forward(self, window: Latent, actions: Tensor) -> Latent:
        """Latents of T <= context frames and `[B, T, A]` standardised actions taken in them -> T latents.

        Output t predicts frame t + 1 from frames <= t.
        """


class PredictorSpec(Spec):
    """Settings of a predictor."""

    kind: str
    context: int = Field(default=3, ge=1)
    """W: frames it may look at while training (paper: 3 in simulation)."""

    @property
    @abstractmethod
    def uses_proprio(self) -> bool:
        """Whether proprioception is among its inputs and outputs."""

    @property
    def imported(self) -> int | None:
        """The epoch of its one checkpoint where it was trained elsewhere; None where the stage `train` does it."""
        return None

    @abstractmethod
    def build(self, shapes: Shapes) -> Predictor:
        """The network with weights drawn from torch's present random state."""


PREDICTORS = Family[PredictorSpec](
    "predictor",
    PredictorSpec,  # type: ignore[type-abstract]
    {
        "transformer": "worldgrid.predictors.transformer:Transformer",
        "point": "worldgrid.predictors.point:ExactPoint",
        "imported": "worldgrid.predictors.imported:Imported",
    },
)


class Translation(NamedTuple):
    """A checkpoint of other code in our terms."""

    predictor: PredictorSpec
    shapes: Shapes
    weights: dict[str, Tensor]
    """A state dict of `predictor.build(shapes)`."""


def translate(checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> Translation:
    """A checkpoint of the study's own code, with the `model` section of its configuration (`predictors/official.py`).

    Raises ConfigError when they do not fit each other or what we know.
    """
    return Translation(*importlib.import_module("worldgrid.predictors.official").official(checkpoint, settings))
