"""The trials of a grid as rows: the same numbers for the page, for CSV, for Markdown and for MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from worldgrid.results import Grid, Trial
from worldgrid.stats import Comparison, Interval, compare_baseline, wilson

_COLUMNS = (
    *("state", "epoch", "episodes", "successes", "success_rate", "success_rate_low", "success_rate_high"),
    *("distance", "calls", "baseline", "difference", "difference_low", "difference_high", "wins", "losses"),
    *("p", "p_holm", "verdict", "train", "evaluate"),
)
"""Columns of the CSV after the trial and its labels."""


@dataclass(frozen=True, eq=False)
class Row:
    """A trial, its result with interval, and its comparison with the baseline."""

    trial: Trial
    rate: float | None
    """Success rate of the final evaluation, over the episodes played so far; None before the first."""
    interval: Interval
    distance: float | None
    """Mean final distance to the goal, in the unit of the env's success test."""
    calls: float | None
    """Mean candidate sequences evaluated per episode."""
    against: Comparison | None
    """The paired test with the trial's counterpart of the baseline; None for the baseline itself."""


def make_rows(grid: Grid) -> list[Row]:
    """All trials in the grid's order."""
    against = compare_baseline(grid)
    return [_row(trial, against.get(trial.key)) for trial in grid.trials]


def _row(trial: Trial, against: Comparison | None) -> Row:
    episodes = trial.final.episodes
    n = len(episodes)
    return Row(
        trial=trial,
        rate=episodes.successes / n if n else None,
        interval=wilson(episodes.successes, n),
        distance=float(episodes.distance.mean()) if n else None,
        calls=float(episodes.calls.mean()) if n else None,
        against=against,
    )


def to_csv(grid: Grid, rows: Sequence[Row]) -> str:
    """One line per trial with every number at full precision; empty where there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", *grid.axes, *_COLUMNS])
    for row in rows:
        trial, final = row.trial, row.trial.final
        cells = [trial.key, *(trial.labels[axis] for axis in grid.axes), trial.state, final.epoch, len(final.episodes)]
        interval = (None, None) if row.rate is None else row.interval
        cells += [final.episodes.successes, row.rate, *interval, row.distance, row.calls, *_against(row.against)]
        writer.writerow([*cells, trial.steps["train"], final.key])
    return file.getvalue()


def _against(one: Comparison | None) -> list[object]:
    if one is None:
        return [None] * 9
    paired = one.paired
    return [
        *(one.second, paired.difference, *paired.interval, paired.wins, paired.losses),
        *(paired.p, one.p, one.verdict),
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
        lines.append([*labels, rate, interval, str(len(row.trial.final.episodes)), _verdict(row), row.trial.state])
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _verdict(row: Row) -> str:
    if row.against is None:
        return ""
    return f"{100 * row.against.paired.difference:+.1f} points, {row.against.verdict}"
