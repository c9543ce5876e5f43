"""The report of a grid: one HTML page that needs nothing but itself, and the same tables as CSV and Markdown."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from worldgrid import imagined, panels, replay, wording
from worldgrid.answers import answer, compare_axes, make_choices
from worldgrid.envs import ENVS
from worldgrid.reproduce import fingerprint, grid_command, trial_command
from worldgrid.results import Grid, Trial, is_repetition, read_grid, read_recordings, report_folder
from worldgrid.store import Store, write_whole
from worldgrid.tables import Row, choices_to_csv, make_rows, to_csv, to_markdown
from worldgrid.versus import Disagreement, compare_grids, differing, disagreements

IGNORED = 1.1
"""A predictor whose error grows by less than this factor under another clip's actions does not listen to actions."""
CHANCE = 0.05
"""Success of random actions above which a reader is told."""
SENSITIVITY = "validation/action_sensitivity"


def write(store: Store, name: str, against: str | None = None) -> Path:
    """Write the report of a grid as far as it has come, beside another grid's if asked, and return the page's path."""
    grid, out = read_grid(store, name), report_folder(store, name)
    other = read_grid(store, against) if against else None
    rows = make_rows(grid)
    write_whole(out / "trials.csv", to_csv(grid, rows).encode())
    write_whole(out / "trials.md", to_markdown(grid, rows).encode())
    write_whole(out / "choices.csv", choices_to_csv(grid, make_choices(grid)).encode())
    write_whole(out / "report.html", page(store, grid, rows, other).encode())
    return out / "report.html"


def page(store: Store, grid: Grid, rows: Sequence[Row], other: Grid | None = None) -> str:
    """The HTML page."""
    comparisons, choices = compare_axes(grid), make_choices(grid)
    script = files("worldgrid").joinpath("templates", "sort.js").read_text(encoding="utf-8")
    return _template().render(
        grid=grid,
        rows=rows,
        choices=choices,
        answer=answer(grid, comparisons, choices),
        is_repetition=is_repetition,
        warnings=warnings(grid),
        axes=[
            (axis, Markup(panel), [one for one in comparisons if one.axis == axis])  # noqa: S704
            for axis in grid.axes
            if (panel := panels.axis_bars(grid, axis))
        ],
        figures={title: [Markup(panel) for panel in found] for title, found in _figures(store, grid, rows).items()},  # noqa: S704
        films=[(trial, what, episode, Film.of(path)) for trial, what, episode, path in showcase(store, grid)],
        rollouts=[(caption, _coded(path)) for caption, path in imagined.rollouts(store, grid.name, grid.showcase)],
        duels=[(one, *map(Film.of, duel(store, grid, one))) for one in disagreements(grid, comparisons)],
        versus=(other, *compare_grids(grid, other)) if other else None,
        changes={trial.key: _changes(grid, trial) for trial in grid.trials},
        unfinished=[trial for trial in grid.trials if not trial.finished],
        started=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(grid.created)),
        command=grid_command(grid),
        commands={trial.key: trial_command(grid, trial) for trial in grid.trials},
        hosts=fingerprint(store, grid.trials),
        short=lambda axis: axis.rpartition(".")[2],
        compute=panels.compute(rows),
        percent=wording.percent,
        points=wording.points,
        span=wording.span,
        probability=wording.probability,
        script=Markup(script),  # noqa: S704
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("worldgrid")
    lines = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return lines.get_template("report.html.j2")


def _figures(store: Store, grid: Grid, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Heading -> its figures, without those that have nothing to show."""
    epochs, planner = panels.epoch_panel(grid), panels.planner_panel(store, grid)
    error = panels.error_panel(grid, rows)
    found = {
        "What it costs": [*panels.cost_panels(grid, rows), *([planner] if planner else [])],
        "Training": [*panels.training_panels(store, grid), *([epochs] if epochs else []), *([error] if error else [])],
    }
    return {title: drawn for title, drawn in found.items() if drawn}


def warnings(grid: Grid) -> list[str]:
    """What a reader should know before believing the numbers."""
    deaf: dict[str, float] = {}
    for trial in grid.trials:
        factor = trial.trained.metrics.get(SENSITIVITY) if trial.trained else None
        if factor is not None and factor < IGNORED:
            deaf[trial.steps["train"]] = factor
    found = [
        f"The predictor of {key} ignores its actions: its error is {factor:.2f} times as large when it is told another "
        "clip's actions. Plans with it are little better than chance."
        for key, factor in deaf.items()
    ]
    tasks = {trial.steps["tasks"]: trial.tasks.metrics for trial in grid.trials if trial.tasks}
    found += [
        f"{wording.percent(metrics['solved_at_start'])} of the start/goal pairs of {key} are solved before anything "
        f"moves, {wording.percent(metrics['random_success'])} by random actions."
        for key, metrics in tasks.items()
        if metrics["solved_at_start"] > 0 or metrics["random_success"] > CHANCE
    ]
    return found


def showcase(store: Store, grid: Grid) -> Iterator[tuple[Trial, str, int, Path]]:
    """A success and a failure of the baseline, as far as there are any: trial, which, episode, video."""
    trial = grid.showcase
    if trial.finished:
        for what, recording in replay.pick(read_recordings(store, trial.final.key)).items():
            path = report_folder(store, grid.name) / "videos" / f"{what}-{recording.episode:04d}-{trial.final.key}.mp4"
            yield trial, what, recording.episode, _render(store, trial, recording.episode, path)


def duel(store: Store, grid: Grid, one: Disagreement) -> tuple[Path, Path]:
    """The winner's and the loser's video of the same start/goal pair."""
    folder = report_folder(store, grid.name) / "duels"
    sides = zip((one.winner, one.loser), one.episodes, strict=True)
    first, second = (
        _render(store, trial, episode, folder / f"{episode:04d}-{trial.final.key}.mp4") for trial, episode in sides
    )
    return first, second


def _render(store: Store, trial: Trial, episode: int, path: Path) -> Path:
    """A video of an episode; made once."""
    if not path.exists():
        recordings = {one.episode: one for one in read_recordings(store, trial.final.key)}
        write_whole(path, replay.video(ENVS.parse(trial.settings["env"]), recordings[episode]))
    return path


def _coded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


class Film(NamedTuple):
    """A video for the page, and the picture that stands for it until it plays; both in base 64."""

    video: str
    still: str

    @classmethod
    def of(cls, path: Path) -> Film:
        """An MP4 of the store."""
        data = path.read_bytes()
        return cls(*(base64.b64encode(one).decode() for one in (data, replay.still(data))))


def _changes(grid: Grid, trial: Trial) -> dict[str, tuple[str, str]]:
    """Setting -> the baseline's value and the trial's, where they differ."""
    counterpart = grid.counterpart(trial)
    return differing(counterpart.settings, trial.settings) if counterpart else {}
