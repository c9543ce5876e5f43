"""worldgrid overfit: can the predictor of a grid learn ten batches by heart? Here and now, without a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worldgrid.experiment import Experiment
    from worldgrid.store import Store
    from worldgrid.training import Data, Lesson
    from worldgrid.trajectories import Trajectories

BATCHES, CLIPS = 10, 16
"""Batches to learn by heart (the study's sanity check: 10), and most clips of each: enough to need memory, few enough
for the smallest predictor and for a laptop."""
SHARE = 0.01
"""What must be left of the loss before learning."""


def overfit(
    file: Annotated[Path, typer.Argument(help="The grid file; its first trial's training is tried.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings by path: train.lr=1e-3.")] = None,
    *,
    steps: Annotated[int, typer.Option("--steps", min=BATCHES, help="Steps after which it has failed.")] = 2000,
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Learn ten small batches by heart: exit code 1 unless the loss falls below 1 % of its start."""
    import torch

    from worldgrid.grid import read_grid
    from worldgrid.noise import stream_seed
    from worldgrid.spec import ConfigError
    from worldgrid.store import Store
    from worldgrid.training import Lesson, read_data

    experiment = read_grid(file, overrides or ()).trials[0].experiment
    if experiment.predictor.imported is not None:
        raise ConfigError(f"predictor: {experiment.predictor.kind} is not trained here; one that is fits")
    few = {"batch": min(experiment.train.batch, CLIPS)}
    settings = experiment.train.model_copy(update={"schedule": "cosine", "final_lr": 0.0} | few)
    with tempfile.TemporaryDirectory(prefix="worldgrid-overfit-") as scratch:
        folder = _latents(experiment, Store(store), Store(scratch))
        data, facts = read_data(experiment.training().config, folder, settings)
        torch.manual_seed(stream_seed("weights", settings.seed))
        lesson = Lesson(facts.predictor.build(facts.shapes), settings)
        print(f"{'step':>6} {'loss':>11}  of its start")  # noqa: T201
        first = 0.0
        for passes, (step, loss) in enumerate(by_heart(lesson, data, steps)):
            first = first or loss
            done = loss < SHARE * first
            if done or step >= steps or passes & (passes - 1) == 0:
                print(f"{step:6d} {loss:11.4g}  {loss / first:.2%}")  # noqa: T201
            if done:
                return
    print(f"the loss did not fall below {SHARE:.0%} of its start in {steps} steps")  # noqa: T201
    raise typer.Exit(1)


def by_heart(lesson: Lesson, data: Data, steps: int) -> Iterator[tuple[int, float]]:
    """Learn the first batches of the first epoch, pass after pass; after each the steps so far and the mean loss.

    Before the first pass too. The rate falls from the settings' to zero on a cosine; no weight decays and nothing is
    dropped out. Each batch keeps its draws, so that there is nothing to learn but the clips.
    """
    import torch

    from worldgrid.noise import generator
    from worldgrid.training import order

    settings, device = lesson.settings, torch.device("cpu")
    epoch = order(data.training, settings, 0, len(data.training) // settings.batch)
    batches = [
        (data.batch(starts, data.frames, device), settings.draw_prefix(generator("prefix", index), data.frames))
        for index, starts in enumerate(islice(epoch, BATCHES))
    ]
    optimiser = settings.optimiser(lesson.eval())
    with torch.no_grad():
        yield 0, sum(float(lesson(*batch)[0]) for batch in batches) / len(batches)
    for done in range(0, steps, len(batches)):
        losses = []
        for at, batch in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = settings.lr_at((done + at) / steps)
            loss, _ = lesson(*batch)
            lesson.descend(loss, optimiser)
            losses.append(float(loss.detach()))
        yield done + len(batches), sum(losses) / len(losses)


def _latents(experiment: Experiment, store: Store, scratch: Store) -> Path:
    """The latents of the training: those in the store, or as many as ten batches need, made in `scratch`.

    Ingested data are taken from the store. An encoder that learns here is taken as it is before learning: what the
    predictor can learn by heart does not wait for it.
    """
    from worldgrid.experiment import Experiment
    from worldgrid.scale import Scale
    from worldgrid.stages import Job, stage
    from worldgrid.trajectories import Trajectories

    wanted = experiment.training().inputs["latents"]
    if store.done(wanted.key):
        return store.folder(wanted.key)
    settings = experiment.settings()
    if "episodes" in settings["collect"]:
        episodes = _episodes(experiment)
        settings["collect"] |= {"episodes": episodes, "shard": episodes}
    settings["pretrain"] |= {"steps": 1}
    latents = Experiment.parse(settings).training().inputs["latents"]
    for step in latents.walk():
        job = Job.open(step, scratch, Scale())
        if step.stage == "collect" and store.done(step.key):
            first_shard(Trajectories(store.folder(step.key)), job.out)
        else:
            stage(step.stage)(job)
    return scratch.folder(latents.key)


def _episodes(experiment: Experiment) -> int:
    """Trajectories to record for ten batches, and for one that is held out."""
    train, collect = experiment.train, experiment.collect
    span = (train.clip_frames(experiment.predictor.context) - 1) * experiment.env.frameskip // collect.keep
    clips = train.fraction * (collect.steps // collect.keep + 1 - span)
    wanted = max(ceil(BATCHES * CLIPS / clips), ceil(1 / (1 - train.fraction))) + 1
    return min(wanted, int(experiment.settings()["collect"]["episodes"]))


def first_shard(source: Trajectories, folder: Path) -> None:
    """A folder of trajectories that holds the first shard of another alone."""
    from worldgrid.trajectories import shard_name, write_manifest

    manifest = source.manifest
    (folder / shard_name(0)).symlink_to(source.folder / shard_name(0))
    write_manifest(folder, shards=1, keep=manifest["keep"], size=manifest["size"], dims=manifest["dims"])
