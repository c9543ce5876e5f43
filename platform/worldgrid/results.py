"""What the store knows about a grid: its trials, how far they are, what came out. The one place that reads it.

Everything here is a plain value; unfinished trials are values too, with the episodes played so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldgrid.spec import JSON, ConfigError, suggest
from worldgrid.store import Done, Store, write_whole

State = Literal["waiting", "training", "planning", "finished", "failed", "stopped"]
STOPPED = "stopped after epoch "
"""How the error of a trial begins that a search gave up; with any other it failed."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Played episodes of one evaluation in order of their numbers; every field is `[n]`."""

    episode: NDArray[np.int64]
    seed: NDArray[np.int64]
    """Names the start/goal pair: equal seeds are equal tasks, whatever planned them."""
    success: NDArray[np.bool_]
    ever_success: NDArray[np.bool_]
    solved_at_start: NDArray[np.bool_]
    distance: NDArray[np.float64]
    """Final distance to the goal, in the unit of the env's success test."""
    start_distance: NDArray[np.float64]
    plans: NDArray[np.int64]
    calls: NDArray[np.int64]
    """Candidate sequences evaluated."""

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def successes(self) -> int:
        """How many ended at their goal."""
        return int(self.success.sum())


_SCHEMA = pa.schema(
    [
        ("episode", pa.int64()),
        ("seed", pa.int64()),
        ("success", pa.bool_()),
        ("ever_success", pa.bool_()),
        ("solved_at_start", pa.bool_()),
        ("distance", pa.float64()),
        ("start_distance", pa.float64()),
        ("plans", pa.int64()),
        ("calls", pa.int64()),
    ]
)
COLUMNS = tuple(_SCHEMA.names)
"""The columns of an episode table that are one number each."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What one episode went through: enough to show it, without planning again."""

    episode: int
    success: bool
    states: NDArray[np.float64]
    """`[S + 1, X]` simulator states, the start first."""
    goal: NDArray[np.float64]
    """`[X]` the state in which the goal was seen."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Planning with one checkpoint of a trial."""

    epoch: int
    key: str
    wanted: int
    """Episodes asked for."""
    done: Done | None
    episodes: Episodes
    """All of them when done, else those played so far."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One cell of a grid and what came out of it."""

    key: str
    name: str
    labels: Mapping[str, str]
    """Axis -> label."""
    settings: JSON
    """Every section with every field, defaults included."""
    steps: Mapping[str, str]
    """Stage -> key of the step before the evaluations."""
    trained: Done | None
    evaluations: tuple[Evaluation, ...]
    """By epoch, the last one last."""
    started: bool
    """Whether training has written anything."""
    tasks: Done | None
    """How easy its start/goal pairs are: `solved_at_start` and `random_success`, shares of them."""
    error: str | None
    """Why it ended without a result; None while nothing went wrong."""

    @property
    def finished(self) -> bool:
        """Whether all its evaluations are in the store."""
        return all(evaluation.done for evaluation in self.evaluations)

    @property
    def final(self) -> Evaluation:
        """The evaluation of the last checkpoint: the trial's result."""
        return self.evaluations[-1]

    @property
    def state(self) -> State:
        """Where the trial is on its walk."""
        if self.finished:
            return "finished"
        if self.error is not None:
            return "stopped" if self.error.startswith(STOPPED) else "failed"
        if self.trained or any(len(evaluation.episodes) for evaluation in self.evaluations):
            return "planning"
        return "training" if self.started else "waiting"


@dataclass(frozen=True, eq=False)
class Grid:
    """A question, its trials and their results."""

    name: str
    question: str
    source: str
    """The grid file's text."""
    overrides: Sequence[str]
    created: float
    """Unix time at which the grid was first run."""
    baseline: Mapping[str, str]
    """Axis -> label; axes left out take each trial's own label."""
    axes: Mapping[str, Sequence[str]]
    trials: Sequence[Trial]

    @cached_property
    def by_labels(self) -> dict[tuple[str, ...], Trial]:
        """Labels in the order of the axes -> trial."""
        return {tuple(trial.labels[axis] for axis in self.axes): trial for trial in self.trials}

    def at(self, labels: Mapping[str, str]) -> Trial | None:
        """The trial with these labels; None where the grid leaves it out."""
        return self.by_labels.get(tuple(labels[axis] for axis in self.axes))

    def having(self, axis: str, label: str) -> list[Trial]:
        """The trials with a label, in the grid's order."""
        return [trial for trial in self.trials if trial.labels[axis] == label]

    def counterpart(self, trial: Trial) -> Trial | None:
        """The trial with the baseline's labels, and `trial`'s own on the axes the baseline leaves open."""
        if not self.baseline or self.is_baseline(trial):
            return None
        return self.at({**trial.labels, **self.baseline})

    def is_baseline(self, trial: Trial) -> bool:
        """Whether a trial has the baseline's choices on all axes it names."""
        return bool(self.baseline) and all(trial.labels[axis] == label for axis, label in self.baseline.items())

    @property
    def showcase(self) -> Trial:
        """The trial whose episodes are shown: the first of the baseline, else the first of the grid."""
        return next((trial for trial in self.trials if self.is_baseline(trial)), self.trials[0])


def is_repetition(axis: str) -> bool:
    """Whether an axis repeats the same choices with other random numbers: `train.seed`, `seed`."""
    return axis.rpartition(".")[2] == "seed"


def read_grid(store: Store, name: str) -> Grid:
    """A grid and everything the store has of its trials; raises ConfigError when it was never run."""
    record = read_record(store, name)
    return make_grid(record, [read_trial(store, trial, record["failures"]) for trial in record["trials"]])


def make_grid(record: JSON, trials: Sequence[Trial]) -> Grid:
    """A grid from its record and its trials."""
    plain = {name: record[name] for name in ("name", "question", "source", "overrides", "created", "baseline", "axes")}
    return Grid(**plain, trials=tuple(trials))


def read_record(store: Store, name: str) -> JSON:
    """What was asked: `grids/<name>.json`, with `failures` (trial key -> error) beside it."""
    try:
        record: JSON = json.loads(store.file("grids", f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"store {store.address} has no grid '{name}'{suggest(name, grid_names(store))}") from None
    return record | {"failures": _failures(store, name)}


def grid_names(store: Store) -> list[str]:
    """The grids that were ever run with this store."""
    names = (name.removesuffix(".json") for name in store.names("grids") if name.endswith(".json"))
    return sorted(name for name in names if not name.endswith(".failures"))


def write_failures(store: Store, name: str, failures: Mapping[str, str]) -> None:
    """Leave beside the grid's record why trials (by key) ended without a result; empty when nothing failed."""
    write_whole(store.root / "grids" / f"{name}.failures.json", json.dumps(dict(failures), indent=1).encode())


def _failures(store: Store, name: str) -> dict[str, str]:
    path = store.file("grids", f"{name}.failures.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_trial(store: Store, record: JSON, failures: Mapping[str, str]) -> Trial:
    """A trial from its part of the grid's record and the folders of its steps."""
    train = record["steps"]["train"]
    wanted = record["settings"]["evaluate"]["episodes"]
    evaluations = [read_evaluation(store, entry["key"], entry["epoch"], wanted) for entry in record["evaluations"]]
    finished = all(evaluation.done for evaluation in evaluations)
    plain = {name: record[name] for name in ("key", "name", "labels", "settings", "steps")}
    return Trial(
        **plain,
        trained=store.done(train),
        tasks=store.done(record["steps"]["tasks"]) if "tasks" in record["steps"] else None,
        evaluations=tuple(sorted(evaluations, key=lambda evaluation: evaluation.epoch)),
        started=curve_path(store, train).exists(),
        error=None if finished else failures.get(record["key"]),
    )


def read_evaluation(store: Store, key: str, epoch: int, wanted: int) -> Evaluation:
    """An evaluation as far as it is played."""
    done = store.done(key)
    tables = [pq.read_table(part, columns=_SCHEMA.names) for part in _parts(store, key)]
    rows = pa.concat_tables([_SCHEMA.empty_table(), *tables]).sort_by("episode")
    return Evaluation(epoch, key, wanted, done, Episodes(**{name: rows[name].to_numpy() for name in _SCHEMA.names}))


def read_recordings(store: Store, key: str) -> list[Recording]:
    """The episodes of an evaluation as they went, in order of their numbers."""
    columns = ["episode", "success", "states", "goal"]
    rows = (row for part in _parts(store, key) for row in pq.read_table(part, columns=columns).to_pylist())
    return [_recording(row) for row in sorted(rows, key=lambda row: row["episode"])]


def read_plan_costs(store: Store, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """`[n, plans]` best costs of the first and of the last iteration, as far as all n episodes planned."""
    names = ("first_costs", "last_costs")
    parts = [part for part in _parts(store, key) if set(names) <= set(pq.read_schema(part).names)]
    rows = [row for part in parts for row in pq.read_table(part, columns=list(names)).to_pylist()]
    plans = min((len(row["first_costs"]) for row in rows), default=0)
    if not plans:
        return None
    first, last = (np.array([row[name][:plans] for row in rows], np.float64) for name in names)
    return first, last


def _recording(row: Mapping[str, Any]) -> Recording:
    goal = np.asarray(row["goal"], np.float64)
    states = np.asarray(row["states"], np.float64).reshape(-1, len(goal))
    return Recording(row["episode"], row["success"], states, goal)


def _parts(store: Store, key: str) -> list[Path]:
    """The whole table where it is written, else the chunks that are."""
    folder = store.folder(key, "episodes.parquet", "chunks/*")
    whole = folder / "episodes.parquet"
    return [whole] if whole.exists() else sorted((folder / "chunks").glob("*.parquet"))


def report_folder(store: Store, name: str) -> Path:
    """Where a grid's report lies: `report.html`, `trials.csv`, `trials.md` and `videos/`."""
    return store.root / "reports" / name


def video_paths(store: Store, name: str, trial: Trial) -> list[Path]:
    """What the report shows of a trial: videos of its episodes, successes before failures, and imagined frames."""
    folder, end = report_folder(store, name) / "videos", trial.final.key
    return sorted([*folder.glob(f"*-{end}.mp4"), *folder.glob(f"*-{end}.png")], reverse=True)


def curve_path(store: Store, key: str) -> Path:
    """Where a training writes its numbers, a line per log step."""
    return store.folder(key, "metrics.jsonl") / "metrics.jsonl"
