"""`worldgrid compare` in the terminal."""

import io
from pathlib import Path

from rich.console import Console

from worldgrid.contrast import print_grids, print_trials
from worldgrid.results import Grid, read_grid

from .synthetic import NAME, make


def shown(show: object, first: object, second: object) -> str:
    file = io.StringIO()
    show(first, second, Console(file=file, width=140))  # type: ignore[operator]
    return file.getvalue()


def test_two_trials_are_compared_and_their_settings_told_apart(grid: Grid) -> None:
    text = shown(print_trials, grid.trials[0], grid.trials[2])
    assert "planner=cem,train.seed=0 is better than conditioning=adaln,planner=gd,train.seed=0 (" in text
    assert "won : lost = " in text
    assert "planner.kind" in text
    assert "train.lr" not in text


def test_two_grids_are_compared_trial_by_trial(grid: Grid) -> None:
    text = shown(print_grids, grid, grid)
    assert text.count("no difference") == 8 + 1
    assert "made_up and made_up: no difference at this n" in text


def test_a_trial_that_has_not_finished_is_not_compared(grid: Grid, tmp_path: Path) -> None:
    made = make(tmp_path)
    made.ask()
    waiting = read_grid(made.store, NAME).trials[0]
    text = shown(print_trials, waiting, grid.trials[0])
    assert "waiting" in text
    assert "not compared" in text
