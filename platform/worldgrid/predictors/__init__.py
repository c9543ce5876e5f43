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

    def split(self) -> list[Latent]:
        """Frame by frame, `[B, 1, ...]` each."""
        return [self.map(lambda z, t=t: z[:, t : t + 1]) for t in range(self.frames)]  # type: ignore[misc]

    def repeat(self, candidates: int) -> Latent:
        """Every clip for each of N candidates: `[B * N, T, ...]`, the candidates of a clip side by side."""
        return self.map(lambda z: z[:, None].expand(-1, candidates, *z.shape[1:]).flatten(0, 1))

    def detach(self) -> Latent:
        """The same numbers without their history."""
        return self.map(torch.Tensor.detach)


def join(first: Latent, *others: Latent) -> Latent:
    """Clips one after the other, along time."""
    if not others:
        return first
    clips = (first, *others)
    proprio = [clip.proprio for clip in clips if clip.proprio is not None]
    return Latent(torch.cat([clip.visual for clip in clips], dim=1), torch.cat(proprio, dim=1) if proprio else None)


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
    streaming: bool = False
    """Whether it is fed whole clips, of which a frame looks at itself and the W - 1 before it in every layer."""

    @abstractmethod
    def embed(self, proprio: Tensor) -> Tensor | None:
        """`[B, T, Q]` standardised proprioception -> `[B, T, C, E]`, or None where it is not used."""

    @abstractmethod
    def forward(self, window: Latent, actions: Tensor) -> Latent:
        """Latents of T <= context frames and `[B, T, A]` standardised actions taken in them -> T latents.

        Output t predicts frame t + 1 from frames <= t. A streaming predictor takes any T.
        """

    def imagine(self, start: Latent, actions: Tensor, context: int) -> Latent:
        """T real frames `[B, T, ...]` and `[B, N, T - 1 + H, A]` actions -> H imagined frames, `[B, N, H, ...]`.

        What `rollout` gives for every candidate, up to rounding; a member that can be faster says how.
        """
        candidates = actions.shape[1]
        futures = rollout(self, start.repeat(candidates), actions.flatten(0, 1), context)
        return futures.map(lambda z: z.unflatten(0, (-1, candidates)))

    def footprint(self, frames: int, steps: int = 0) -> int:
        """Bytes that one sequence needs while a window of T frames is computed; with the history of all its numbers
        through `steps` predictions, where gradients are wanted. 0 where it does not matter."""
        return 0

    def compile_rollout(self) -> None:
        """Let torch compile what `imagine` repeats, where that is worth it."""


def advance(predictor: Predictor, clip: Latent, actions: Tensor, context: int) -> Latent:
    """The frame that follows a clip of T frames, `[B, 1, ...]`, predicted from its last `context` frames.

    Row t of the `[B, >= T, A]` standardised actions is taken in frame t of the clip. A streaming predictor is fed the
    whole clip: what it sees of older frames is what they saw.
    """
    window = clip if predictor.streaming else clip.last(context)
    predicted: Latent = predictor(window, actions[:, clip.frames - window.frames : clip.frames])
    return predicted.last(1)


def rollout(predictor: Predictor, start: Latent, actions: Tensor, context: int) -> Latent:
    """What follows T real frames under `[B, T - 1 + H, A]` standardised actions: H imagined frames, `[B, H, ...]`.

    The plain reference that `Predictor.imagine` is compared with. Row t of the actions is taken in frame t, counted
    from the first real one. Every step sees the last `context` frames, real or imagined, and nothing else: the study's
    sliding window, computed anew each step. Keeping keys and values would not be equal: frames in the window once
    attended to frames that have left it.
    """
    assert actions.shape[1] >= start.frames, "nothing to imagine"
    clip = start
    while clip.frames <= actions.shape[1]:
        clip = join(clip, advance(predictor, clip, actions, context))
    return clip.last(clip.frames - start.frames)


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
    def streaming(self) -> bool:
        """Whether the network is (`Predictor.streaming`)."""
        return False

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
