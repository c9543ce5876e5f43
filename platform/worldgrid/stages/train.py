"""Train: a predictor on encoded clips, data-parallel under Ray Train. The only place that prepares a model for DDP.

The global batch, its order and every draw belong to the recipe; ranks take every `world`-th clip of it, in one pass or
in several whose gradients are added, so the number of workers changes time and rounding, nothing else.
"""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from worldgrid.checkpoints import checkpoint_name
from worldgrid.curve import Curve, last_values
from worldgrid.host import ran
from worldgrid.noise import generator, stream_seed
from worldgrid.ranks import Ranks
from worldgrid.resume import RESUME, Reached, read_state, restore, save_state, weights_of
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError, parse
from worldgrid.stages import Job
from worldgrid.store import Store, offer, write_once
from worldgrid.trained import Facts
from worldgrid.training import Data, Lesson, Train, order, read_data, validate
from worldgrid.vitals import Vitals

VERSION = 1
CURVE = "metrics.jsonl"
RESIZE_SECONDS = 30.0
"""Between looks of an elastic group for nodes that came."""


def fit(source: Any, group: str, store: Store, scale: Scale) -> None:
    """Run a worker group of Ray Train on `scale.train` workers: it trains what `source`, memo, gives it, then ends.

    Ray Train keeps its own notes in memory: what a training goes on from is in the store, and nodes share no disk.
    """
    from fsspec.implementations.memory import MemoryFileSystem
    from pyarrow.fs import FSSpecHandler, PyFileSystem
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    train = scale.train
    fewest, most = train.workers
    each = {"CPU": train.cpus, "GPU": train.gpus, **train.resources}
    shape: dict[str, Any] = {  # as Ray Train's second version has it; types are still the first one's
        "num_workers": most if fewest == most else (fewest, most),
        "use_gpu": train.gpus > 0,
        "resources_per_worker": {name: amount for name, amount in each.items() if amount},
        "elastic_resize_monitor_interval_s": RESIZE_SECONDS,
    }
    TorchTrainer(
        _train_rank,
        train_loop_config={"source": source, "group": group, "store": store, "scale": scale},
        torch_config=TorchConfig(backend="nccl" if train.gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(**shape),
        run_config=RunConfig(
            name=group,
            storage_path="worldgrid",
            storage_filesystem=PyFileSystem(FSSpecHandler(MemoryFileSystem())),
            failure_config=FailureConfig(max_failures=0),  # memo tries again, by cause
        ),
    ).fit()


def _train_rank(config: dict[str, Any]) -> None:
    """One rank of a group: every rank trains its share of each training, rank 0 commits it."""
    torch.set_num_threads(1)
    source, group, store = config["source"], config["group"], config["store"]
    context, last = ray.train.get_context(), None
    leads, world, gpus = context.get_world_rank() == 0, context.get_world_size(), config["scale"].train.gpus
    while given := ray.get(source.take_training.remote(group, last)):
        began, last = time.monotonic(), given.number
        outcome: JSON | ConfigError | None
        try:
            outcome = _train(Job.open(given.step, store, config["scale"]), given.until)
        except ConfigError as error:  # every rank meets it, before any speaks to another
            outcome = error
        if leads:
            if isinstance(outcome, dict):
                seconds = time.monotonic() - began
                store.commit(given.step, outcome, seconds, ran(seconds, world, gpus))
            ray.get(source.end_training.remote(group, outcome or {}))


def _train(job: Job, until: int | None = None) -> JSON | None:
    """One rank's training up to an epoch, its last one unless given: every epoch's clips in the recipe's order, then
    validation and a checkpoint by rank 0. None while epochs are left."""
    from ray.train.torch import get_device

    if "latents" not in job.inputs:
        raise ConfigError(f"predictor: {job.step.key} is not in this store; `worldgrid import` puts it there")
    settings = parse(Train, job.step.config["train"], "train")
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), get_device())
    data, facts = read_data(job.step.config, job.inputs["latents"], settings)
    facts.write(job.out)
    pupil = _Pupil(facts, settings, ranks, job.scale.train.pass_clips(settings.batch))
    begun, into = pupil.resume(job.out / RESUME)
    per_epoch = settings.epoch_steps or len(data.training) // settings.batch
    notes = _Notes(job.out, begun * per_epoch + into, job.scale.train.save) if ranks.leads else None
    for epoch in range(begun, until or settings.epochs):
        batches = enumerate(order(data.training, settings, epoch, per_epoch))
        for index, starts in islice(batches, into if epoch == begun else 0, None):
            step = epoch * per_epoch + index
            measured = pupil.learn(data, starts, step, step / (settings.epochs * per_epoch))
            if step % settings.log == 0 or index == per_epoch - 1:
                losses = ranks.total(measured)
                if notes:
                    notes.curve.write(step + 1, {"epoch": epoch + 1} | pupil.moved(losses))
            if notes:
                notes.vitals.write(step + 1)
                if index + 1 < per_epoch and notes.is_due():
                    pupil.save(job.out, epoch, index + 1)
        if notes:
            notes.curve.write((epoch + 1) * per_epoch, {"epoch": epoch + 1} | pupil.validate(data))
            offer(job.out / CURVE)  # who finds a checkpoint finds its numbers
            pupil.leave(job.out, epoch + 1)
    if (until or settings.epochs) < settings.epochs:
        return None
    if notes and not settings.extends:
        (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / CURVE) if notes else {}


class _Notes:
    """What rank 0 writes while it trains."""

    def __init__(self, folder: Path, done: int, every: float) -> None:
        """Go on after so many steps; states are due every so many seconds."""
        self.curve = Curve(folder / CURVE, done)
        self.vitals = Vitals(folder, done)
        self._every, self._last = every, time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for another state, counted from the last time it was."""
        due = time.monotonic() - self._last >= self._every
        self._last = time.monotonic() if due else self._last
        return due


class _Pupil:
    """A predictor in training, as one rank holds it."""

    def __init__(self, facts: Facts, settings: Train, ranks: Ranks, clips: int) -> None:
        """`clips` are the most of one pass."""
        from ray.train.torch import prepare_model

        torch.manual_seed(stream_seed("weights", settings.seed))
        self._lesson = Lesson(facts.predictor.build(facts.shapes), settings)
        self._settings, self._ranks, self._clips = settings, ranks, clips
        self._optimiser = settings.optimiser(self._lesson)
        self._student: Any = prepare_model(
            self._lesson.to(ranks.device), parallel_strategy_kwargs={"forward_sync_buffers": False}
        )
        averaged = settings.ema is not None
        self._shown = copy.deepcopy(self._lesson).requires_grad_(False) if averaged else self._lesson
        self._average = self._shown.predictor if averaged else None
        self._norm = torch.zeros(())

    def resume(self, path: Path) -> Reached:
        """Go on from what rank 0 finds at `path`; says how many epochs are done, and steps of the next."""
        state = self._ranks.from_first(read_state(path) if self._ranks.leads else b"")
        return restore(state, self._lesson.predictor, self._optimiser, self._average)

    def learn(self, data: Data, starts: NDArray[np.int64], step: int, progress: float) -> dict[str, Tensor]:
        """One optimiser step on a global batch; this rank's part of the batch's mean loss and of its terms."""
        settings, ranks = self._settings, self._ranks
        settings.set_step(self._optimiser, progress)
        self._optimiser.zero_grad(set_to_none=True)
        prefix = settings.draw_prefix(generator("prefix", settings.seed, step), data.frames)
        parts = ranks.share(starts, self._clips)
        measured: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)  # gradients are exchanged once a step
            with nullcontext() if last or ranks.world == 1 else self._student.no_sync():
                total, terms = self._student(data.batch(part, data.frames, ranks.device), prefix)
                share = len(part) / len(starts)
                (total * (share * ranks.world)).backward()  # DDP takes the mean over the ranks
            for name, value in ({"loss": total} | {f"loss/{name}": term for name, term in terms.items()}).items():
                part_of_mean = share * value.detach()
                measured[name] = measured[name] + part_of_mean if name in measured else part_of_mean
        self._norm = self._lesson.step(self._optimiser)
        if self._average:
            settings.average(self._average, self._lesson.predictor, step + 1)
        return measured

    def moved(self, losses: dict[str, float]) -> dict[str, float]:
        """What a line of the curve says of the last step, whose losses over all ranks are given."""
        rest = {name: value for name, value in losses.items() if name != "loss"}
        moved = {"lr": self._optimiser.param_groups[0]["lr"], "gradient_norm": float(self._norm)}
        return {"loss": losses["loss"]} | moved | rest

    def validate(self, data: Data) -> dict[str, float]:
        """How good it is on held-out clips."""
        measured = validate(self._shown, data, self._ranks.device)
        self._student.train()
        return measured

    def leave(self, folder: Path, epoch: int) -> None:
        """Publish the checkpoint of an epoch where one is due, then what the next epoch begins with."""
        if epoch in self._settings.published():
            write_once(folder / checkpoint_name(epoch), save(weights_of(self._shown.predictor)))  # may be in use
        self.save(folder, epoch, 0)

    def save(self, folder: Path, epochs: int, into: int) -> None:
        """Leave what a training goes on from after so many epochs, and steps into the next."""
        save_state(folder / RESUME, self._lesson.predictor, self._optimiser, epochs, self._average, into=into)
