"""Train: a predictor on encoded clips, data-parallel under Ray Train. The only place that prepares a model for DDP.

The global batch, its order and every draw belong to the recipe; ranks take every `world`-th clip of it, so the number
of workers changes time and rounding, nothing else.
"""

from __future__ import annotations

import copy
import shutil
import time
from typing import Any

import ray
import ray.train
import torch
from safetensors.torch import save

from worldgrid.checkpoints import checkpoint_name
from worldgrid.curve import Curve, last_values
from worldgrid.host import fingerprint
from worldgrid.noise import generator, stream_seed
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError, parse
from worldgrid.stages import Job
from worldgrid.store import Store, write_once
from worldgrid.training import Lesson, Train, order, read_data, validate
from worldgrid.vitals import Vitals

VERSION = 1
CURVE = "metrics.jsonl"


def fit(source: Any, group: str, store: Store, scale: Scale) -> None:
    """Run a worker group of Ray Train on `scale.train` workers: it trains what `source`, memo, gives it, then ends."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    train, scratch = scale.train, store.root / "ray" / group
    resources = {"CPU": train.cpus} | ({"GPU": train.gpus} if train.gpus else {}) | dict(train.resources)
    TorchTrainer(
        _train_rank,
        train_loop_config={"source": source, "group": group, "store": store, "scale": scale},
        torch_config=TorchConfig(backend="nccl" if train.gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(num_workers=train.workers, use_gpu=train.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name=group, storage_path=str(scratch), failure_config=FailureConfig(max_failures=0)
        ),  # memo tries again, by cause
    ).fit()
    shutil.rmtree(scratch, ignore_errors=True)


def _train_rank(config: dict[str, Any]) -> None:
    """One rank of a group: every rank trains its share of each training, rank 0 commits it."""
    torch.set_num_threads(1)
    source, group, store = config["source"], config["group"], config["store"]
    leads, last = ray.train.get_context().get_world_rank() == 0, None
    while step := ray.get(source.take_training.remote(group, last)):
        began, last = time.monotonic(), step.key
        outcome: JSON | ConfigError
        try:
            outcome = _train(Job.open(step, store, config["scale"]))
        except ConfigError as error:  # every rank meets it, before any speaks to another
            outcome = error
        if leads:
            if not isinstance(outcome, ConfigError):
                store.commit(step, outcome, time.monotonic() - began, fingerprint())
            ray.get(source.end_training.remote(group, outcome))


def _train(job: Job) -> JSON:
    """One rank's training: every epoch's clips in the recipe's order, then validation and a checkpoint by rank 0."""
    from ray.train.torch import get_device, prepare_model

    if "latents" not in job.inputs:
        raise ConfigError(f"predictor: {job.step.key} is not in this store; `worldgrid import` puts it there")
    settings = parse(Train, job.step.config["train"], "train")
    rank, world = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    data, facts = read_data(job.step.config, job.inputs["latents"], settings)
    facts.write(job.out)
    torch.manual_seed(stream_seed("weights", settings.seed))
    lesson = Lesson(facts.predictor.build(facts.shapes), settings)
    optimiser, device = settings.optimiser(lesson), get_device()
    student = prepare_model(lesson.to(device), parallel_strategy_kwargs={"forward_sync_buffers": False})
    shown = lesson if settings.ema is None else copy.deepcopy(lesson).requires_grad_(False)
    average = None if shown is lesson else shown.predictor
    begun = load_state(job.out / RESUME, lesson.predictor, optimiser, average)
    per_epoch = settings.epoch_steps or len(data.training) // settings.batch
    curve = Curve(job.out / CURVE, begun * per_epoch) if rank == 0 else None
    vitals = Vitals(job.out, begun * per_epoch) if rank == 0 else None
    for epoch in range(begun, settings.epochs):
        student.train()
        for index, starts in enumerate(order(data.training, settings, epoch, per_epoch)):
            step = epoch * per_epoch + index
            settings.set_step(optimiser, step / (settings.epochs * per_epoch))
            clips = data.batch(starts[rank::world], data.frames, device)
            prefix = settings.draw_prefix(generator("prefix", settings.seed, step), data.frames)
            total, terms = student(clips, prefix)
            norm = lesson.descend(total, optimiser)
            if average:
                settings.average(average, lesson.predictor, step + 1)
            if curve and (step % settings.log == 0 or index == per_epoch - 1):
                parts = {f"loss/{name}": float(term) for name, term in terms.items()}
                moved = {"lr": optimiser.param_groups[0]["lr"], "gradient_norm": float(norm)}
                curve.write(step + 1, {"epoch": epoch + 1, "loss": float(total.detach())} | moved | parts)
            if vitals:
                vitals.write(step + 1)
        if curve:
            curve.write((epoch + 1) * per_epoch, {"epoch": epoch + 1} | validate(shown, data, device))
            if epoch + 1 in settings.published():
                write_once(job.out / checkpoint_name(epoch + 1), save(weights_of(shown.predictor)))  # may be in use
            save_state(job.out / RESUME, lesson.predictor, optimiser, epoch + 1, average)
    if not curve:
        return {}
    if not settings.extends:
        (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / CURVE)
