"""Training: what one step and one epoch of a predictor's training are, on any number of processes or on none but this.

B clips, T frames, P patches, D latent, A model action, Q proprio. The global batch, its order and every draw belong to
the recipe; who shares the work takes every `world`-th clip of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from worldgrid.envs import ENVS
from worldgrid.latents import Latents
from worldgrid.learning import Learning, action_sensitivity, learn, rollout_error
from worldgrid.noise import generator
from worldgrid.optimisation import Optimisation
from worldgrid.predictors import PREDICTORS, Latent, Predictor, Shapes
from worldgrid.spec import JSON, ConfigError
from worldgrid.trained import Facts
from worldgrid.world_model import Normalisation

HORIZON = 6
"""Steps of the validation rollouts (paper: up to 6)."""


class Train(Optimisation, Learning):
    """Settings of a training: the optimiser's, the loss's, and which clips."""

    seed: int = Field(default=0, ge=0)
    """Weights, order of the clips, prefixes of the rollouts (official: meta.seed)."""
    split_seed: int = Field(default=234, ge=0)
    """Which trajectories are held out (official: data.seed)."""
    fraction: float = Field(default=0.9, gt=0, lt=1)
    """Share of the trajectories to train on; the rest validates."""
    frames: int | None = Field(default=None, ge=2)
    """T: frames of a clip; None is what context and rollout need (paper: context + 1)."""
    publish: int = Field(default=1, ge=1)
    """Epochs between published checkpoints; the last one always is."""
    validate_clips: int = Field(default=256, ge=1)
    """Held-out clips that the rollout error is measured on after every epoch."""
    log: int = Field(default=10, ge=1)
    """Steps between lines of `metrics.jsonl`."""

    def split(self, trajectories: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of so many trajectories to train on, and which are held out."""
        order = generator("split", self.split_seed).permutation(trajectories)
        first = round(self.fraction * trajectories)
        return order[:first], order[first:]

    def clip_frames(self, context: int) -> int:
        """T: frames of a training clip for a predictor with this context."""
        return self.frames or self.needed_frames(context)

    def published(self) -> list[int]:
        """Epochs whose checkpoints are kept, counted from 1."""
        return [epoch for epoch in range(1, self.epochs + 1) if epoch % self.publish == 0 or epoch == self.epochs]


class Clips(NamedTuple):
    """B clips to learn from, standardised."""

    latents: Tensor
    """`[B, T, P, D]`."""
    proprio: Tensor
    """`[B, T, Q]`."""
    actions: Tensor
    """`[B, T, A]`."""


@dataclass
class Data:
    """Clips for training and validation, standardised on the way out."""

    latents: Latents
    normalisation: Normalisation
    stride: int
    """Kept frames from one frame of a clip to the next."""
    frames: int
    """T of the training clips."""
    training: NDArray[np.int64]
    """First frames of the training clips."""
    validation: NDArray[np.int64]
    """First frames of the held-out clips."""
    horizon: int
    """Steps that validation rolls out."""
    validation_frames: int
    """T of the held-out clips."""

    def batch(self, starts: NDArray[np.int64], frames: int, device: torch.device) -> Clips:
        """The clips of so many frames that begin at `starts`."""
        clips = self.latents.read(starts, frames, self.stride)
        latents, proprio, actions = (torch.from_numpy(array).to(device) for array in clips)
        norm = self.normalisation
        return Clips(latents, norm.standardise_proprio(proprio), norm.standardise_actions(actions))


def read_data(config: JSON, folder: Path, settings: Train) -> tuple[Data, Facts]:
    """The clips of a training, from a folder of latents, and what stays the same over its epochs.

    `config` is that of its step. Raises ConfigError where there are too few for one batch.
    """
    env, predictor = ENVS.parse(config["env"]), PREDICTORS.parse(config["predictor"])
    latents = Latents(folder)
    seen, held = settings.split(len(latents.lengths))
    proprio, actions = latents.controls(np.sort(seen))
    normalisation = Normalisation.measure(actions.reshape(-1, env.action_dim), proprio)
    stride, frames = env.frameskip // latents.keep, settings.clip_frames(predictor.context)
    horizon = min(HORIZON, (int(latents.lengths[held].max()) - 1) // stride)
    longest = max(horizon, predictor.context) + 1
    training, validation = (
        latents.starts(np.sort(part), length, stride) for part, length in ((seen, frames), (held, longest))
    )
    chosen = generator("validation", settings.split_seed).permutation(validation)[: settings.validate_clips]
    if len(training) < settings.batch:
        raise ConfigError(f"train.batch: given {settings.batch}; at most {len(training)} fits, the clips there are")
    shapes = Shapes(latents.patches, latents.width, env.frameskip * env.action_dim, env.proprio_dim)
    data = Data(latents, normalisation, stride, frames, training, chosen, horizon, longest)
    return data, Facts(predictor, shapes, normalisation)


def order(starts: NDArray[np.int64], settings: Train, epoch: int, steps: int) -> Iterator[NDArray[np.int64]]:
    """The batches of an epoch: one shuffled pass, repeated where an epoch is longer than the data."""
    rng = generator("order", settings.seed, epoch)
    passes = -(-steps * settings.batch // len(starts))
    shuffled = np.concatenate([rng.permutation(starts) for _ in range(passes)])
    for step in range(steps):
        yield shuffled[step * settings.batch : (step + 1) * settings.batch]


class Lesson(nn.Module):
    """The loss as one forward pass, which is what DDP can wrap."""

    def __init__(self, predictor: Predictor, settings: Train) -> None:
        super().__init__()
        self.predictor = predictor
        self.settings = settings

    def embed(self, clips: Clips) -> Latent:
        """The clips as the predictor reads them."""
        return Latent(clips.latents, self.predictor.embed(clips.proprio))

    def forward(self, clips: Clips, prefix: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms, unweighted and without history; rollouts leave from frame `prefix`."""
        with self.settings.autocast(clips.latents.device):
            lesson = learn(self.predictor, self.embed(clips), clips.actions, self.settings, prefix)
        return lesson.total, lesson.terms

    def descend(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> Tensor:
        """One step down a loss of this lesson; returns the gradient's norm before it was clipped."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        return self.step(optimiser)

    def step(self, optimiser: torch.optim.Optimizer) -> Tensor:
        """One step down the gradients there are; returns their norm before it was clipped."""
        norm = nn.utils.clip_grad_norm_(self.parameters(), self.settings.clip or float("inf"))
        optimiser.step()
        return norm


@torch.no_grad()
def validate(lesson: Lesson, data: Data, device: torch.device) -> dict[str, float]:
    """How far imagined frames are from real ones by horizon, and how much the actions matter, on held-out clips."""
    lesson.eval()
    clips = data.batch(data.validation, data.validation_frames, device)
    clip, start = lesson.embed(clips), data.validation_frames - data.horizon
    errors = rollout_error(lesson.predictor, clip, clips.actions, lesson.predictor.context, start)
    metrics = {f"validation/rollout_error_{step}": float(error) for step, error in enumerate(errors, start=1)}
    return metrics | {"validation/action_sensitivity": action_sensitivity(lesson.predictor, clip, clips.actions)}
