"""What a grid's figures show."""

from dataclasses import replace
from pathlib import Path

from worldgrid import panels
from worldgrid.reproduce import Spent
from worldgrid.results import Grid, read_grid
from worldgrid.tables import make_rows

from .synthetic import NAME, MadeUp, make


def test_colours_tell_apart_what_matters_most(grid: Grid) -> None:
    assert panels.most_telling(grid) == "planner"


def test_success_stands_against_calls_seconds_and_compute(grid: Grid) -> None:
    calls, seconds, compute = panels.cost_panels(grid, make_rows(grid))
    assert "model calls per episode" in calls
    assert "worker-seconds of planning per episode" in seconds
    assert "worker-hours of training and planning" in compute
    assert ">cem<" in calls


def test_compute_is_counted_in_gpu_hours_where_there_were_gpus(grid: Grid) -> None:
    with_gpu = [replace(row, spent=Spent(7200.0, 3600.0)) for row in make_rows(grid)]
    what, hours = panels.compute(with_gpu)
    assert (what, hours(with_gpu[0])) == ("GPU-hours", 1.0)


def test_checkpoints_make_a_curve_over_epochs_where_there_are_several(grid: Grid, made: MadeUp) -> None:
    assert panels.epoch_panel(grid) is None
    trials = made.trials
    for trial, other in zip(trials, made.trials[2:] + made.trials[:2], strict=True):
        trial["evaluations"] = [{"epoch": 1, "key": other["evaluations"][0]["key"]}, *trial["evaluations"]]
    made.ask(trials=trials)
    shown = panels.epoch_panel(read_grid(made.store, NAME))
    made.ask()
    assert shown is not None
    assert "success by training epoch" in shown


def test_trainings_that_were_given_the_same_share_a_colour(grid: Grid, made: MadeUp) -> None:
    loss, error = panels.training_panels(made.store, grid)
    assert ">adaln<" in loss
    assert ">feature<" in loss
    assert "validation/rollout_error_6" in error


def test_plans_without_recorded_costs_are_no_figure(grid: Grid, made: MadeUp) -> None:
    assert panels.planner_panel(made.store, grid) is None


def test_a_grid_that_has_not_begun_has_no_figures(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.ask()
    waiting = read_grid(made.store, NAME)
    rows = make_rows(waiting)
    assert panels.cost_panels(waiting, rows) == []
    assert panels.error_panel(waiting, rows) is None
    assert panels.axis_bars(waiting, "planner") is None
