"""What a grid's figures show: numbers of the store, arranged for `figures`. Each panel is one SVG text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from worldgrid import figures
from worldgrid.answers import Rate
from worldgrid.curve import read_curve
from worldgrid.figures import Bar, Dot, Line
from worldgrid.results import Grid, Trial, curve_path, is_repetition, read_plan_costs
from worldgrid.spec import JSON
from worldgrid.store import Store
from worldgrid.tables import Row

_CURVES = ("loss", "validation/rollout_error_")
"""What is drawn of a training: each name, or the longest horizon of each family of names."""
LINES, POINTS = 48, 120
"""Most lines of a figure and points of a line: beyond them nobody sees more, and the page grows."""

T = TypeVar("T")
Lines = dict[str, list[Line]]
"""Group -> its lines."""


def axis_bars(grid: Grid, axis: str) -> str | None:
    """Success by the labels of an axis, over all their finished trials; None before the first."""
    bars = []
    for label in grid.axes[axis]:
        if chosen := [one for one in grid.having(axis, label) if one.finished]:
            whole, each = Rate.of(chosen), [Rate.of([one]).rate for one in chosen]
            bars.append(Bar(label, whole.rate, whole.interval, each))
    return figures.bars(axis, bars) if bars else None


def cost_panels(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """Success against model calls, seconds and hours of compute, a dot per finished trial."""
    done = [row for row in rows if row.trial.finished and row.rate is not None]
    calls = _dots(grid, done, lambda row: row.calls)
    seconds = _dots(grid, done, lambda row: row.planning and row.planning / row.episodes)
    what, hours = compute(rows)
    spent = _dots(grid, done, hours)
    found = [
        calls and figures.scatter("success against planning effort", calls, "model calls per episode"),
        seconds and figures.scatter("success against time", seconds, "worker-seconds of planning per episode"),
        spent and figures.scatter("success against compute", spent, f"{what} of training and planning"),
    ]
    return [panel for panel in found if panel]


def compute(rows: Sequence[Row]) -> tuple[str, Callable[[Row], float | None]]:
    """What a trial's compute is counted in, and how much it was: GPU-hours where any trial had GPUs."""
    if any(row.spent and row.spent.gpu_seconds for row in rows):
        return "GPU-hours", lambda row: row.spent and row.spent.gpu_hours
    return "worker-hours", lambda row: row.spent and row.spent.worker_hours


def error_panel(grid: Grid, rows: Sequence[Row]) -> str | None:
    """Does a predictor that imagines better also plan better? Success against the longest rollout error."""

    def error(row: Row) -> float | None:
        metrics = row.trial.trained.metrics if row.trial.trained else {}
        names = sorted((name for name in metrics if name.startswith(_CURVES[1])), key=lambda name: (len(name), name))
        return metrics[names[-1]] if names else None

    dots = _dots(grid, [row for row in rows if row.trial.finished and row.rate is not None], error)
    return (
        figures.scatter("imagined against reached", dots, "validation rollout error, longest horizon") if dots else None
    )


def _dots(grid: Grid, rows: Sequence[Row], along: Callable[[Row], float | None]) -> dict[str, list[Dot]]:
    axis = most_telling(grid)
    found: dict[str, list[Dot]] = {}
    for row in rows:
        place = along(row)
        if place is not None and row.rate is not None:
            label = row.trial.labels[axis] if axis else "all"
            found.setdefault(label, []).append(Dot(place, row.rate, row.interval))
    return found


def most_telling(grid: Grid) -> str | None:
    """The axis of choices whose labels differ most in success: what colours should tell apart."""
    spreads = {}
    for axis, labels in grid.axes.items():
        rates = [
            Rate.of(chosen).rate
            for label in labels
            if (chosen := [one for one in grid.having(axis, label) if one.finished])
        ]
        if len(rates) > 1 and not is_repetition(axis):
            spreads[axis] = max(rates) - min(rates)
    return max(spreads, key=lambda axis: spreads[axis]) if spreads else None


def training_panels(store: Store, grid: Grid) -> list[str]:
    """Curves of the distinct trainings, seeds in one colour."""
    found: dict[str, Lines] = {}
    for group, key in _thinned(list(_trainings(grid))):
        lines, _ = read_curve(curve_path(store, key))
        for metric in _shown(lines):
            points = {line["step"]: line[metric] for line in lines if metric in line}
            steps = sorted(points)
            line = _short(steps), _short([points[step] for step in steps])
            found.setdefault(metric, {}).setdefault(group, []).append(line)
    return [figures.curves(metric, groups) for metric, groups in found.items()]


def epoch_panel(grid: Grid) -> str | None:
    """Success by training epoch, where trials evaluated several checkpoints."""
    axis = most_telling(grid)
    found: Lines = {}
    for trial in _thinned([trial for trial in grid.trials if trial.finished and len(trial.evaluations) > 1]):
        epochs = [float(one.epoch) for one in trial.evaluations]
        rates = [float(one.episodes.success.mean()) for one in trial.evaluations]
        found.setdefault(trial.labels[axis] if axis else "all", []).append((epochs, rates))
    return figures.curves("success by training epoch", found, "epoch", rates=True) if found else None


def planner_panel(store: Store, grid: Grid) -> str | None:
    """How far each planner brings the cost down: the best cost of its first and of its last iteration, plan by plan."""
    axis = "planner" if "planner" in grid.axes else None
    found: Lines = {}
    for label in grid.axes[axis] if axis else ["all plans"]:
        chosen = [one for one in (grid.having(axis, label) if axis else grid.trials) if one.finished]
        costs = [read_plan_costs(store, one.final.key) for one in chosen[:8]]
        for what, place in (("first iteration", 0), ("last iteration", 1)):
            plans = [pair[place] for pair in costs if pair]
            length = min((plan.shape[1] for plan in plans), default=0)
            if length:
                middle = np.median(np.concatenate([plan[:, :length] for plan in plans]), axis=0)
                found[f"{label}, {what}"] = [([float(plan) for plan in range(1, length + 1)], middle.tolist())]
    return figures.curves("best cost of each plan (median episode)", found, "plan of the episode") if found else None


def _trainings(grid: Grid) -> Iterator[tuple[str, str]]:
    """Group and key of every distinct training; a group is what the trainings were given, seeds together."""
    trainings: dict[str, list[Trial]] = {}
    for trial in grid.trials:
        trainings.setdefault(trial.steps["train"], []).append(trial)
    deciding = [
        axis
        for axis, labels in grid.axes.items()
        if len(labels) > 1 and all(len({one.labels[axis] for one in sharing}) == 1 for sharing in trainings.values())
    ]
    named = [axis for axis in deciding if not is_repetition(axis)]
    for key, sharing in trainings.items():
        yield ", ".join(sharing[0].labels[axis] for axis in named) or "all", key


def _shown(lines: Iterable[JSON]) -> list[str]:
    names = {name for line in lines for name in line}
    families = [[name for name in names if name.startswith(family)] for family in _CURVES]
    return [max(family, key=lambda name: (name in _CURVES, len(name), name)) for family in families if family]


def _thinned(items: list[T]) -> list[T]:
    """At most `LINES` of them, evenly from first to last."""
    return items if len(items) <= LINES else [items[round(place)] for place in np.linspace(0, len(items) - 1, LINES)]


def _short(values: Sequence[float]) -> list[float]:
    """At most `POINTS` values: each the mean of its neighbours."""
    parts = np.array_split(np.asarray(values, np.float64), min(len(values), POINTS))
    return [float(part.mean()) for part in parts]
