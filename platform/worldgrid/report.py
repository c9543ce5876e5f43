"""The report of a grid: one HTML page that needs nothing but itself, and the same table as CSV and Markdown."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from worldgrid import figures, replay
from worldgrid.envs import ENVS
from worldgrid.results import (
    Grid,
    Trial,
    curve_path,
    is_repetition,
    read_curve,
    read_grid,
    read_recordings,
    report_folder,
)
from worldgrid.spec import JSON
from worldgrid.stats import Interval, answer, compare_axes, main_effect, percent, probability, wilson
from worldgrid.store import Store, write_whole
from worldgrid.tables import Row, make_rows, to_csv, to_markdown

_CURVES = ("loss", "validation/rollout_error_")
"""What is drawn of a training: each name, or the longest horizon of each family of names."""


def write(store: Store, name: str) -> Path:
    """Write the report of a grid as far as it has come, and return the page's path."""
    grid, out = read_grid(store, name), report_folder(store, name)
    rows = make_rows(grid)
    videos = write_videos(store, grid.showcase, out / "videos")
    write_whole(out / "trials.csv", to_csv(grid, rows).encode())
    write_whole(out / "trials.md", to_markdown(grid, rows).encode())
    write_whole(out / "report.html", page(store, grid, rows, videos).encode())
    return out / "report.html"


def page(store: Store, grid: Grid, rows: Sequence[Row], videos: Mapping[str, Path]) -> str:
    """The HTML page."""
    comparisons = compare_axes(grid)
    return _template().render(
        grid=grid,
        rows=rows,
        answer=answer(grid, comparisons),
        is_repetition=is_repetition,
        axes=[
            (axis, Markup(figures.bars(axis, bars)), [one for one in comparisons if one.axis == axis])  # noqa: S704
            for axis in grid.axes
            if (bars := axis_bars(grid, axis))
        ],
        curves=[Markup(figures.curves(title, groups)) for title, groups in training_curves(store, grid).items()],  # noqa: S704
        videos={what: base64.b64encode(path.read_bytes()).decode() for what, path in videos.items()},
        episodes={what: int(path.stem.split("-")[1]) for what, path in videos.items()},
        unfinished=[trial for trial in grid.trials if not trial.finished],
        started=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(grid.created)),
        command=shlex.join(["worldgrid", "run", f"{grid.name}.yaml", *grid.overrides]),
        hosts=fingerprint(store, grid),
        percent=percent,
        span=span,
        probability=probability,
    )


def span(interval: Interval, form: str = "%.1f") -> str:
    """An interval of rates for people, in percent."""
    return f"[{form % (100 * interval.low)}, {form % (100 * interval.high)}]"


@cache
def _template() -> Template:
    loader = PackageLoader("worldgrid")
    lines = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return lines.get_template("report.html.j2")


def write_videos(store: Store, trial: Trial, out: Path) -> dict[str, Path]:
    """`success` and `failure` -> a video of the trial's first such episode; made once for each evaluation."""
    if not trial.finished:
        return {}
    env = ENVS.parse(trial.settings["env"])
    paths = {}
    for what, recording in replay.pick(read_recordings(store, trial.final.key)).items():
        paths[what] = out / f"{what}-{recording.episode:04d}-{trial.final.key}.mp4"
        if not paths[what].exists():
            write_whole(paths[what], replay.video(env, recording))
    return paths


def axis_bars(grid: Grid, axis: str) -> list[figures.Bar]:
    """The labels of an axis that have finished trials."""
    bars = []
    for label in grid.axes[axis]:
        successes, n = main_effect(grid, axis, label)
        if n:
            rates = [float(one.final.episodes.success.mean()) for one in grid.having(axis, label) if one.finished]
            bars.append(figures.Bar(label, successes / n, wilson(successes, n), rates))
    return bars


Lines = dict[str, list[tuple[list[float], list[float]]]]
"""Group -> its lines of (steps, values)."""


def training_curves(store: Store, grid: Grid) -> dict[str, Lines]:
    """Metric -> its lines, one per distinct training, grouped by what the trainings were given (seeds together)."""
    trainings: dict[str, list[Trial]] = {}
    for trial in grid.trials:
        trainings.setdefault(trial.steps["train"], []).append(trial)
    deciding = [
        axis
        for axis, labels in grid.axes.items()
        if len(labels) > 1 and all(len({one.labels[axis] for one in sharing}) == 1 for sharing in trainings.values())
    ]
    named = [axis for axis in deciding if not is_repetition(axis)]
    found: dict[str, Lines] = {}
    for key, sharing in trainings.items():
        group = ", ".join(sharing[0].labels[axis] for axis in named) or "all"
        lines, _ = read_curve(curve_path(store, key))
        for metric in _shown(lines):
            points = {line["step"]: line[metric] for line in lines if metric in line}
            steps = sorted(points)
            found.setdefault(metric, {}).setdefault(group, []).append((steps, [points[step] for step in steps]))
    return found


def _shown(lines: Sequence[JSON]) -> list[str]:
    names = {name for line in lines for name in line}
    families = [[name for name in names if name.startswith(family)] for family in _CURVES]
    return [max(family, key=lambda name: (name in _CURVES, len(name), name)) for family in families if family]


def fingerprint(store: Store, grid: Grid) -> dict[str, list[str]]:
    """What the grid's finished steps ran on: fact -> its distinct values."""
    keys = {key for trial in grid.trials for key in [*trial.steps.values(), *(one.key for one in trial.evaluations)]}
    found: dict[str, set[str]] = {}
    for key in sorted(keys):
        done = store.done(key)
        for name, value in _flat(done.host) if done else ():
            found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in found.items()}


def _flat(facts: JSON, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)
