"""What MLflow is told of a trial: params, tags, points of metrics, tables. Pure: values in, values out.

Every time is one that the store holds, so that the same trial always makes the same entries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worldgrid.answers import Rate
from worldgrid.reproduce import spent_on, trial_command
from worldgrid.results import COLUMNS, Episodes, Evaluation, Grid, Trial
from worldgrid.spec import JSON
from worldgrid.stats import wilson
from worldgrid.step import canonical, digest


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    time: int
    """Unix milliseconds."""
    step: int
    checkpoint: int | None = None
    """The epoch whose model it is a metric of."""


def run_name(trial: Trial) -> str:
    """The labels alone, which fit the narrow columns of MLflow's UI; params and tags say the rest."""
    return ", ".join(trial.labels.values()) or trial.name


def params(trial: Trial) -> dict[str, str]:
    """All settings under dotted names, and every axis under its own with the trial's label."""
    dotted: dict[str, str] = {}
    for section, fields in trial.settings.items():
        dotted |= {f"{section}.{name}": _text(value) for name, value in fields.items()}
    return dotted | dict(trial.labels)


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def identity(trial: Trial) -> dict[str, str]:
    """The tags that lead from a run to the folders of the store."""
    steps = {f"worldgrid.step.{stage}": key for stage, key in trial.steps.items()}
    played = {f"worldgrid.step.evaluate.epoch-{one.epoch:04d}": one.key for one in trial.evaluations}
    return {"worldgrid.trial": trial.key} | steps | played


def progress(trial: Trial, content: str) -> dict[str, str]:
    """The tags that change while a trial goes on."""
    tables = [{"path": table_path(one), "type": "table"} for one in trial.evaluations if one.done]
    tags = {"worldgrid.state": trial.state, "worldgrid.content": content, "mlflow.loggedArtifacts": json.dumps(tables)}
    return tags | ({"worldgrid.error": trial.error} if trial.error else {})


def content(trial: Trial, videos: Sequence[str]) -> str:
    """A digest of all that a run says of a settled trial."""
    finished = {one.key: one.done.finished for one in trial.evaluations if one.done}
    return digest([trial.name, dict(trial.steps), finished, trial.error, list(videos)])


def of_line(line: JSON, prefix: str) -> list[Point]:
    """The values of one line of a curve."""
    time, step = round(1000 * line["time"]), line["step"]
    plain = ("step", "epoch", "time")
    return [Point(prefix + name, float(value), time, step) for name, value in line.items() if name not in plain]


def of_results(evaluations: Sequence[Evaluation]) -> list[Point]:
    """What finished evaluations found, at step = epoch: all of `done.json`, and the success rate's interval."""
    points = []
    for one in evaluations:
        if one.done:
            low, high = wilson(one.episodes.successes, len(one.episodes))
            metrics = one.done.metrics | {"success_rate_low": low, "success_rate_high": high}
            time = round(1000 * one.done.finished)
            points += [Point(name, float(value), time, one.epoch, one.epoch) for name, value in metrics.items()]
    return points


def of_pool(trial: Trial) -> list[Point]:
    """A finished trial's result over all its evaluated checkpoints, where there are several."""
    if not trial.finished or len(trial.evaluations) == 1:
        return []
    rate = Rate.of([trial])
    named = zip(("", "_low", "_high"), (rate.rate, *rate.interval), strict=True)
    return [Point(f"pooled_success_rate{suffix}", value, _end(trial), trial.final.epoch) for suffix, value in named]


def of_compute(trial: Trial) -> list[Point]:
    """Worker and GPU-hours of a finished trial's training and planning, where they are known."""
    if not trial.finished or (spent := spent_on(trial)) is None:
        return []
    hours = {"worker_hours": spent.worker_hours, "gpu_hours": spent.gpu_hours}
    return [Point(name, value, _end(trial), trial.final.epoch) for name, value in hours.items()]


def _end(trial: Trial) -> int:
    return max(round(1000 * one.done.finished) for one in trial.evaluations if one.done)


def origin(grid: Grid, trial: Trial, facts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The tags that say how a trial came about: command, commit, machines, packages."""
    packages = {
        name.removeprefix("packages."): values for name, values in facts.items() if name.startswith("packages.")
    }
    said = {
        "worldgrid.command": trial_command(grid, trial),
        "mlflow.source.name": f"{grid.name}.yaml",
        "mlflow.source.git.commit": ", ".join(facts.get("commit", ())),
        "worldgrid.machine": ", ".join(facts.get("machine", ())),
        "worldgrid.packages": ", ".join(f"{name} {'/'.join(values)}" for name, values in packages.items()),
    }
    return {name: value for name, value in said.items() if value}


def of_progress(grid: Grid, trial: Trial, known: Mapping[str, int]) -> list[Point]:
    """The success rate so far while chunks land; its step counts episodes over the trial's evaluations.

    A point stands at the end of every batch of the episodes that are there without a gap, less the `known` ones
    (evaluation key -> episodes), at a time made of the step: the same points in whatever order chunks landed.
    """
    points = []
    batch = trial.settings["evaluate"]["batch"]
    for index, one in enumerate(trial.evaluations):
        there = prefix(one.episodes)
        ends = [*range(batch, there + 1, batch), *([there] if there == one.wanted and there % batch else [])]
        for end in ends:
            if end > known.get(one.key, 0):
                step = index * one.wanted + end
                rate = float(one.episodes.success[:end].mean())
                points.append(Point("running_success_rate", rate, round(1000 * grid.created) + step, step))
    return points


def prefix(episodes: Episodes) -> int:
    """How many episodes are there without a gap, from the first on."""
    return next((place for place, episode in enumerate(episodes.episode) if place != episode), len(episodes))


def table_path(evaluation: Evaluation) -> str:
    """The artifact that holds an evaluation's episodes."""
    return f"episodes/epoch-{evaluation.epoch:04d}.json"


def table(episodes: Episodes) -> str:
    """An episode table in the form of MLflow's `log_table`, which its UI shows; the long columns stay in the store."""
    columns = [getattr(episodes, name).tolist() for name in COLUMNS]
    return json.dumps({"columns": list(COLUMNS), "data": [list(row) for row in zip(*columns, strict=True)]})
