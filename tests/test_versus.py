"""Two trials or grids side by side."""

import pytest

from worldgrid.answers import compare_axes
from worldgrid.results import Grid, read_grid
from worldgrid.spec import ConfigError
from worldgrid.versus import compare_grids, differing, disagreements, find_trial, match_grids

from .synthetic import AXES, NAME, MadeUp


def test_a_trial_is_found_by_the_beginning_of_its_key(made: MadeUp) -> None:
    key = made.trials[3]["key"]
    assert find_trial(made.store, key[:12]).key == key


def test_a_key_that_fits_none_or_several_is_one_clear_line(made: MadeUp) -> None:
    with pytest.raises(ConfigError, match="'trial-': fits 8 trials: trial-"):
        find_trial(made.store, "trial-")
    with pytest.raises(ConfigError, match="no trial; did you mean 'trial-"):
        find_trial(made.store, made.trials[0]["key"] + "0")


def test_settings_differ_where_a_value_does_or_one_has_none() -> None:
    first = {"planner": {"kind": "cem", "samples": 64}, "train": {"lr": 1e-3}}
    second = {"planner": {"kind": "gd", "lr": 1.0}, "train": {"lr": 1e-3}}
    assert differing(first, second) == {
        "planner.kind": ("cem", "gd"),
        "planner.samples": ("64", ""),
        "planner.lr": ("", "1.0"),
    }


def test_grids_are_matched_by_the_labels_of_the_axes_they_share(grid: Grid, made: MadeUp) -> None:
    cem = [trial for trial in made.trials if trial["labels"]["planner"] == "cem"]
    axes = {name: labels for name, labels in AXES.items() if name != "planner"}
    made.ask(trials=cem, axes=axes)
    smaller = read_grid(made.store, NAME)
    with pytest.raises(ConfigError, match="no trials with the same labels"):
        match_grids(smaller, grid)
    made.ask()
    pairs = match_grids(grid, read_grid(made.store, NAME))
    assert [one.key == two.key for one, two in pairs] == [True] * 8


def test_a_grid_against_itself_shows_no_difference(grid: Grid) -> None:
    whole, each = compare_grids(grid, grid)
    assert whole is not None
    assert (whole.verdict, whole.effect.difference, whole.paired.n) == ("no difference", 0.0, 8 * 40)
    assert {one.verdict for _, one in each} == {"no difference"}


def test_disagreements_are_one_task_that_only_the_winner_solved(grid: Grid) -> None:
    found = disagreements(grid, compare_axes(grid))
    assert {one.axis for one in found} == {"planner", "conditioning"}
    for one in found:
        first, second = one.episodes
        won, lost = one.winner.final.episodes, one.loser.final.episodes
        assert won.seed[first] == lost.seed[second]
        assert won.success[first]
        assert not lost.success[second]
        differing_axes = [axis for axis in grid.axes if one.winner.labels[axis] != one.loser.labels[axis]]
        assert differing_axes == [one.axis]
