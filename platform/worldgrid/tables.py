"""The trials of a grid as rows: the same numbers for the page, for CSV, for Markdown and for MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from worldgrid.answers import Choice, Comparison, Rate, compare_baseline
from worldgrid.reproduce import Spent, spent, spent_on
from worldgrid.results import Grid, Trial, is_repetition
from worldgrid.stats import Interval
from worldgrid.wording import points

_AGAINST = (
    *("baseline", "difference", "difference_low", "difference_high", "wins", "losses"),
    *("p", "p_holm", "verdict"),
)
COLUMNS = (
    *("state", "epoch", "checkpoints", "episodes", "successes"),
    *("success_rate", "success_rate_low", "success_rate_high", "solved_at_start", "random_success"),
    *("distance", "calls", "seconds", "planning_worker_seconds", "worker_hours", "gpu_hours"),
    *(*_AGAINST, "train", "evaluate"),
)
"""Columns of the CSV after the trial and its labels; `epoch` and `evaluate` are the last checkpoint's.

`seconds` is by the clock, worker and GPU-hours are those of training and planning.
"""


@dataclass(frozen=True, eq=False)
class Row:
    """A trial, its result with interval, and its comparison with the baseline."""

    trial: Trial
    rate: float | None
    """Success rate over the evaluated checkpoints and the episodes played so far; None before the first."""
    interval: Interval
    successes: int
    episodes: int
    """Played so far, over all evaluated checkpoints."""
    solved_at_start: float | None
    """Share of the played episodes that were at their goal before anything moved."""
    random_success: float | None
    """Share of the start/goal pairs that random actions solve; None where nobody measured it."""
    distance: float | None
    """Mean final distance to the goal, in the unit of the env's success test."""
    calls: float | None
    """Mean candidate sequences evaluated per episode."""
    seconds: float | None
    """Wall-clock seconds of the finished evaluations, from first episode to commit."""
    planning: float | None
    """Worker-seconds of the finished evaluations: what they took, however many workers there were."""
    spent: Spent | None
    """What the training and the evaluations took."""
    against: Comparison | None
    """The paired test with the trial's counterpart of the baseline; None for the baseline itself."""


def make_rows(grid: Grid) -> list[Row]:
    """All trials in the grid's order."""
    against = compare_baseline(grid)
    return [_row(trial, against.get(trial.key)) for trial in grid.trials]


def _row(trial: Trial, against: Comparison | None) -> Row:
    whole = Rate.of([trial])
    played = [one.episodes for one in trial.evaluations]
    seconds = [one.done.seconds for one in trial.evaluations if one.done]
    planning = spent(one.done for one in trial.evaluations)
    return Row(
        trial=trial,
        rate=whole.rate if whole.episodes else None,
        interval=whole.interval,
        successes=whole.successes,
        episodes=whole.episodes,
        solved_at_start=_mean([float(one.solved_at_start.sum()) for one in played], whole.episodes),
        random_success=trial.tasks.metrics.get("random_success") if trial.tasks else None,
        distance=_mean([float(one.distance.sum()) for one in played], whole.episodes),
        calls=_mean([float(one.calls.sum()) for one in played], whole.episodes),
        seconds=sum(seconds) if seconds else None,
        planning=planning.worker_seconds if planning else None,
        spent=spent_on(trial),
        against=against,
    )


def _mean(sums: Sequence[float], n: int) -> float | None:
    return sum(sums) / n if n else None


def cells(row: Row) -> list[object]:
    """A row's values in the order of `COLUMNS`; None where there is none."""
    trial, final = row.trial, row.trial.final
    interval = (None, None) if row.rate is None else row.interval
    hours = (row.spent.worker_hours, row.spent.gpu_hours) if row.spent else (None, None)
    return [
        *(trial.state, final.epoch, len(trial.evaluations), row.episodes, row.successes),
        *(row.rate, *interval, row.solved_at_start, row.random_success),
        *(row.distance, row.calls, row.seconds, row.planning, *hours, *_against(row.against)),
        *(trial.steps["train"], final.key),
    ]


def to_csv(grid: Grid, rows: Sequence[Row]) -> str:
    """One line per trial with every number at full precision; empty where there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", *grid.axes, *COLUMNS])
    for row in rows:
        writer.writerow([row.trial.key, *(row.trial.labels[axis] for axis in grid.axes), *cells(row)])
    return file.getvalue()


def choices_to_csv(grid: Grid, choices: Sequence[Choice]) -> str:
    """One line per choice, seeds and checkpoints pooled."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    axes = [axis for axis in grid.axes if not is_repetition(axis)]
    numbers = ("trials", "spread", "episodes", "successes", "success_rate", "success_rate_low", "success_rate_high")
    writer.writerow([*axes, *numbers, *_AGAINST])
    for one in choices:
        rate = one.rate
        values = (len(one.trials), one.spread, rate.episodes, rate.successes, rate.rate, *rate.interval)
        writer.writerow([*(one.labels[axis] for axis in axes), *values, *_against(one.against)])
    return file.getvalue()


def _against(one: Comparison | None) -> list[object]:
    if one is None:
        return [None] * len(_AGAINST)
    return [
        *(one.second, one.effect.difference, *one.effect.interval, one.paired.wins, one.paired.losses),
        *(one.effect.p, one.p, one.verdict),
    ]


def to_markdown(grid: Grid, rows: Sequence[Row]) -> str:
    """The short table for people: labels, success with interval, difference from the baseline."""
    header = [*grid.axes, "success", "95 % interval", "episodes", "against baseline", "state"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        rate = "" if row.rate is None else f"{row.rate:.3f}"
        low, high = row.interval
        interval = "" if row.rate is None else f"[{low:.3f}, {high:.3f}]"
        labels = [row.trial.labels[axis] for axis in grid.axes]
        lines.append([*labels, rate, interval, str(row.episodes), _verdict(row), row.trial.state])
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _verdict(row: Row) -> str:
    if row.against is None:
        return ""
    return f"{points(row.against.effect.difference)}, {row.against.verdict}"
