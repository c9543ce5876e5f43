"""World model: a frozen encoder and predictor that say what actions would lead to, and how far that is from a goal.

B episodes, N candidates, T frames, H horizon, A model action (frameskip x simulator action a), P patches, D latent,
Q proprio. Frames, goals and imagined futures are all `Latent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from worldgrid.encoders import Encoder
from worldgrid.envs import Observation
from worldgrid.objectives import ObjectiveSpec
from worldgrid.planners import Cost
from worldgrid.predictors import Latent, Predictor, join
from worldgrid.spec import Spec


class Normalisation(Spec):
    """Statistics of the training data: what a predictor reads has mean 0 and standard deviation 1.

    Actions have one mean and deviation per number of a simulator action, the same for all frameskip actions of a
    model action (jepa-wms `traj_dset.py`). `recipe()` and `spec.parse` carry it through JSON.
    """

    action_mean: tuple[float, ...] = Field(min_length=1)
    """a numbers, simulator units."""
    action_std: tuple[float, ...]
    proprio_mean: tuple[float, ...]
    """Q numbers, simulator units."""
    proprio_std: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Normalisation:
        if len(self.action_mean) != len(self.action_std) or len(self.proprio_mean) != len(self.proprio_std):
            raise ValueError("a mean and a standard deviation for every number fits")
        if min(self.action_std + self.proprio_std) <= 0:
            raise ValueError("standard deviations above 0 fit")
        return self

    @classmethod
    def measure(cls, actions: NDArray[np.floating], proprio: NDArray[np.floating]) -> Normalisation:
        """From `[n, a]` simulator actions and `[m, Q]` proprioception; a number that never varies is left unscaled."""
        action_mean, action_std = _statistics(actions)
        proprio_mean, proprio_std = _statistics(proprio)
        return cls(action_mean=action_mean, action_std=action_std, proprio_mean=proprio_mean, proprio_std=proprio_std)

    def standardise_actions(self, actions: Tensor) -> Tensor:
        """`[..., A]` in simulator units -> `[..., A]` standardised."""
        steps: Tensor = actions.unflatten(-1, (-1, len(self.action_mean)))
        return ((steps - actions.new_tensor(self.action_mean)) / actions.new_tensor(self.action_std)).flatten(-2)

    def restore_actions(self, actions: Tensor) -> Tensor:
        """`[..., A]` standardised -> `[..., A]` in simulator units."""
        steps: Tensor = actions.unflatten(-1, (-1, len(self.action_mean)))
        return (steps * actions.new_tensor(self.action_std) + actions.new_tensor(self.action_mean)).flatten(-2)

    def standardise_proprio(self, proprio: Tensor) -> Tensor:
        """`[..., Q]` in simulator units -> `[..., Q]` standardised."""
        return (proprio - proprio.new_tensor(self.proprio_mean)) / proprio.new_tensor(self.proprio_std)


def _statistics(rows: NDArray[np.floating]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    scale = np.where(std > 1e-8 * np.maximum(1.0, np.abs(mean)), std, 1.0)
    return tuple(mean.tolist()), tuple(scale.tolist())


def advance(predictor: Predictor, clip: Latent, actions: Tensor, context: int) -> Latent:
    """The frame that follows a clip of T frames, `[B, 1, ...]`, predicted from its last `context` frames.

    Row t of the `[B, >= T, A]` standardised actions is taken in frame t of the clip.
    """
    window = clip.last(context)
    predicted: Latent = predictor(window, actions[:, clip.frames - window.frames : clip.frames])
    return predicted.last(1)


def rollout(predictor: Predictor, start: Latent, actions: Tensor, context: int) -> Latent:
    """What follows T real frames under `[B, T - 1 + H, A]` standardised actions: H imagined frames, `[B, H, ...]`.

    Row t of the actions is taken in frame t, counted from the first real one. Every step sees the last `context`
    frames, real or imagined, and nothing else: the study's sliding window, computed anew each step.
    Keeping keys and values would not be equal: frames in the window once attended to frames that have left it.
    """
    assert actions.shape[1] >= start.frames, "nothing to imagine"
    clip = start
    while clip.frames <= actions.shape[1]:
        clip = join(clip, advance(predictor, clip, actions, context))
    return clip.last(clip.frames - start.frames)


@final
@dataclass(frozen=True)
class WorldModel:
    """A trained model as a planner uses it. Making one puts its networks into eval mode and freezes their weights."""

    encoder: Encoder
    predictor: Predictor
    normalisation: Normalisation
    context: int
    """Frames the predictor sees while planning (paper: 2)."""
    rows: int | None = None
    """Most sequences imagined in one pass, which bounds memory; None: all B x N. Moves the last bits of results."""

    def __post_init__(self) -> None:
        for network in (self.encoder, self.predictor):
            network.eval().requires_grad_(False)

    @torch.no_grad()
    def look(self, observation: Observation) -> Latent:
        """What B episodes show now -> `[B, 1, ...]`, on the networks' device."""
        weights = chain(self.encoder.parameters(), self.predictor.parameters(), [torch.empty(0)])
        device = next(weights).device
        seen = observation.frames if self.encoder.reads == "frames" else observation.state.astype(np.float32)
        visual = self.encoder(torch.from_numpy(seen).to(device))
        proprio = self.normalisation.standardise_proprio(torch.from_numpy(observation.proprio).to(device))
        return Latent(visual[:, None], self.predictor.embed(proprio[:, None]))

    def imagine(self, start: Latent, actions: Tensor) -> Latent:
        """`[B, 1, ...]` starts and `[B, N, H, A]` standardised actions -> `[B, N, H, ...]` imagined frames."""
        futures = [future for _, future in self._futures(start, actions)]
        visual = torch.cat([future.visual for future in futures])
        proprio = [future.proprio for future in futures if future.proprio is not None]
        together = Latent(visual, torch.cat(proprio) if proprio else None)
        return together.map(lambda z: z.unflatten(0, actions.shape[:2]))

    def cost(self, start: Latent, goal: Latent, objective: ObjectiveSpec) -> Cost:
        """How far from `[B, 1, ...]` goals candidates would end, for a planner; gradients reach the actions alone."""

        def cost(actions: Tensor) -> Tensor:
            futures = self._futures(start, actions)
            distances = [objective.distance(future, _of(goal, episodes)) for episodes, future in futures]
            return torch.cat(distances).view(actions.shape[:2]).to(actions.device)

        return cost

    def _futures(self, start: Latent, actions: Tensor) -> Iterator[tuple[Tensor, Latent]]:
        """All B x N sequences, at most `rows` at a time: the episodes they belong to, and what they lead to."""
        sequences = actions.flatten(0, 1).to(start.visual.device)
        numbers = torch.arange(len(sequences), device=sequences.device)
        for chosen in numbers.split(self.rows or len(sequences)):
            episodes = chosen // actions.shape[1]
            yield episodes, rollout(self.predictor, _of(start, episodes), sequences[chosen], self.context)


def _of(latent: Latent, episodes: Tensor) -> Latent:
    return latent.map(lambda z: z[episodes])
