"""Train: a predictor on encoded clips, data-parallel under Ray Train. The only place that prepares a model for DDP.

B clips, T frames, P patches, D latent, A model action, Q proprio. The global batch, its order and every draw belong to
the recipe; ranks take every `world`-th clip of it, so the number of workers changes time and rounding, nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import ray.train
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save
from torch import Tensor, nn

from worldgrid.curve import Curve, last_values
from worldgrid.envs import ENVS
from worldgrid.latents import Latents
from worldgrid.learning import Learning, action_sensitivity, learn, rollout_error
from worldgrid.noise import generator, stream_seed
from worldgrid.optimisation import Optimisation
from worldgrid.predictors import PREDICTORS, Latent, Predictor, Shapes
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.spec import JSON, ConfigError, parse
from worldgrid.stages import Job
from worldgrid.store import write_whole
from worldgrid.trained import Facts, checkpoint_name
from worldgrid.world_model import Normalisation

VERSION = 1
HORIZON = 6
"""Steps of the validation rollouts (paper: up to 6)."""
CURVE = "metrics.jsonl"


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

    def clip_frames(self, context: int) -> int:
        """T: frames of a training clip for a predictor with this context."""
        return self.frames or self.needed_frames(context)

    def published(self) -> list[int]:
        """Epochs whose checkpoints are kept, counted from 1."""
        return [epoch for epoch in range(1, self.epochs + 1) if epoch % self.publish == 0 or epoch == self.epochs]


def run(job: Job) -> JSON:
    """Fit the predictor with Ray Train on `scale.train` workers; resumes from the last finished epoch."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    if "latents" not in job.inputs:
        raise ConfigError(f"predictor: {job.step.key} is not in this store; `worldgrid import` puts it there")
    train, scratch = job.scale.train, job.out / ".ray"
    resources = {"CPU": train.cpus} | ({"GPU": train.gpus} if train.gpus else {})
    TorchTrainer(
        _train_rank,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if train.gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(num_workers=train.workers, use_gpu=train.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name=job.step.key, storage_path=str(scratch), failure_config=FailureConfig(max_failures=3)
        ),
    ).fit()
    shutil.rmtree(scratch, ignore_errors=True)
    (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / CURVE)


class _Clips(NamedTuple):
    """B clips to learn from, standardised."""

    latents: Tensor
    """`[B, T, P, D]`."""
    proprio: Tensor
    """`[B, T, Q]`."""
    actions: Tensor
    """`[B, T, A]`."""


@dataclass
class _Data:
    """Clips for training and validation, standardised on the way out."""

    latents: Latents
    normalisation: Normalisation
    stride: int
    frames: int
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    horizon: int
    """Steps that validation rolls out."""
    validation_frames: int

    def batch(self, starts: NDArray[np.int64], frames: int, device: torch.device) -> _Clips:
        clips = self.latents.read(starts, frames, self.stride)
        latents, proprio, actions = (torch.from_numpy(array).to(device) for array in clips)
        norm = self.normalisation
        return _Clips(latents, norm.standardise_proprio(proprio), norm.standardise_actions(actions))


class _Lesson(nn.Module):
    """The loss as one forward pass, which is what DDP can wrap."""

    def __init__(self, predictor: Predictor, settings: Train) -> None:
        super().__init__()
        self.predictor = predictor
        self.settings = settings

    def embed(self, clips: _Clips) -> Latent:
        return Latent(clips.latents, self.predictor.embed(clips.proprio))

    def forward(self, clips: _Clips, prefix: int) -> tuple[Tensor, dict[str, Tensor]]:
        lesson = learn(self.predictor, self.embed(clips), clips.actions, self.settings, prefix)
        return lesson.total, lesson.terms


def _train_rank(config: dict[str, Job]) -> None:
    """One rank's training: every epoch's clips in the recipe's order, then validation and a checkpoint by rank 0."""
    from ray.train.torch import get_device, prepare_model

    torch.set_num_threads(1)
    job = config["job"]
    settings = parse(Train, job.step.config["train"], "train")
    rank, world = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    data, shapes = _data(job, settings)
    torch.manual_seed(stream_seed("weights", settings.seed))
    lesson = _Lesson(PREDICTORS.parse(job.step.config["predictor"]).build(shapes), settings)
    optimiser, device = settings.optimiser(lesson), get_device()
    student = prepare_model(lesson.to(device), parallel_strategy_kwargs={"forward_sync_buffers": False})
    begun = load_state(job.out / RESUME, lesson.predictor, optimiser)
    per_epoch = settings.epoch_steps or len(data.training) // settings.batch
    curve = Curve(job.out / CURVE, begun * per_epoch) if rank == 0 else None
    for epoch in range(begun, settings.epochs):
        student.train()
        for index, starts in enumerate(_order(data.training, settings, epoch, per_epoch)):
            step = epoch * per_epoch + index
            settings.set_step(optimiser, step / (settings.epochs * per_epoch))
            clips = data.batch(starts[rank::world], data.frames, device)
            prefix = settings.draw_prefix(generator("prefix", settings.seed, step), data.frames)
            total, terms = student(clips, prefix)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            norm = nn.utils.clip_grad_norm_(lesson.parameters(), settings.clip or float("inf"))
            optimiser.step()
            if curve and (step % settings.log == 0 or index == per_epoch - 1):
                parts = {f"loss/{name}": float(term) for name, term in terms.items()}
                moved = {"lr": optimiser.param_groups[0]["lr"], "gradient_norm": float(norm)}
                curve.write(step + 1, {"epoch": epoch + 1, "loss": float(total.detach())} | moved | parts)
        if curve:
            curve.write((epoch + 1) * per_epoch, {"epoch": epoch + 1} | _validate(lesson, data, device))
            _publish(job.out, epoch + 1, lesson, optimiser)


def _data(job: Job, settings: Train) -> tuple[_Data, Shapes]:
    """The clips of a training; what is needed to load the weights is left beside them, the same by every rank."""
    env, predictor = ENVS.parse(job.step.config["env"]), PREDICTORS.parse(job.step.config["predictor"])
    latents = Latents(job.inputs["latents"])
    order = generator("split", settings.split_seed).permutation(len(latents.lengths))
    seen, held = np.split(order, [round(settings.fraction * len(order))])
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
    data = _Data(latents, normalisation, stride, frames, training, chosen, horizon, longest)
    Facts(predictor, shapes, normalisation).write(job.out)
    return data, shapes


def _order(starts: NDArray[np.int64], settings: Train, epoch: int, steps: int) -> Iterator[NDArray[np.int64]]:
    """The batches of an epoch: one shuffled pass, repeated where an epoch is longer than the data."""
    rng = generator("order", settings.seed, epoch)
    passes = -(-steps * settings.batch // len(starts))
    shuffled = np.concatenate([rng.permutation(starts) for _ in range(passes)])
    for step in range(steps):
        yield shuffled[step * settings.batch : (step + 1) * settings.batch]


@torch.no_grad()
def _validate(lesson: _Lesson, data: _Data, device: torch.device) -> dict[str, float]:
    """How far imagined frames are from real ones by horizon, and how much the actions matter, on held-out clips."""
    lesson.eval()
    clips = data.batch(data.validation, data.validation_frames, device)
    clip, start = lesson.embed(clips), data.validation_frames - data.horizon
    errors = rollout_error(lesson.predictor, clip, clips.actions, lesson.predictor.context, start)
    metrics = {f"validation/rollout_error_{step}": float(error) for step, error in enumerate(errors, start=1)}
    return metrics | {"validation/action_sensitivity": action_sensitivity(lesson.predictor, clip, clips.actions)}


def _publish(folder: Path, epoch: int, lesson: _Lesson, optimiser: torch.optim.Optimizer) -> None:
    """Leave an epoch's weights to plan with, and everything needed to go on from here."""
    if epoch in lesson.settings.published():
        write_whole(folder / checkpoint_name(epoch), save(weights_of(lesson.predictor)))
    save_state(folder / RESUME, lesson.predictor, optimiser, epoch)
