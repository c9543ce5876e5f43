"""What is said of a grid: comparisons, choices, one sentence each."""

from pathlib import Path

import pytest

from worldgrid.answers import Rate, answer, compare_axes, compare_baseline, make_choices
from worldgrid.results import Grid, read_grid
from worldgrid.stats import holm

from .synthetic import NAME, MadeUp, make


def test_the_choice_that_was_made_better_is_called_better(grid: Grid) -> None:
    (planner,) = [one for one in compare_axes(grid) if one.axis == "planner"]
    assert (planner.verdict, planner.cells, planner.paired.n) == ("better", 4, 160)
    assert planner.p < 0.001
    assert planner.sentence.startswith("cem is better than gd (")


def test_choices_that_were_made_equal_show_no_difference(grid: Grid) -> None:
    (conditioning,) = [one for one in compare_axes(grid) if one.axis == "conditioning"]
    assert conditioning.verdict == "no difference"
    assert conditioning.sentence.startswith("adaln and feature: no difference at this n (")


def test_seeds_are_repetitions_and_not_compared(grid: Grid) -> None:
    assert {one.axis for one in compare_axes(grid)} == {"conditioning", "planner"}


def test_p_values_are_corrected_for_their_number(grid: Grid) -> None:
    comparisons = compare_axes(grid)
    assert [one.p for one in comparisons] == pytest.approx(holm([one.effect.p for one in comparisons]))


def test_trials_stand_against_the_baseline_of_their_own_seed(grid: Grid) -> None:
    against = compare_baseline(grid)
    assert len(against) == 6
    assert all(grid.trials[place].key not in against for place in (0, 1))
    name = "conditioning=feature,planner=gd,train.seed=1"
    (one,) = [one for one in against.values() if one.first == name]
    assert (one.second, one.verdict) == ("conditioning=adaln,planner=cem,train.seed=1", "worse")


def test_the_main_effect_pools_all_trials_of_a_label(grid: Grid) -> None:
    chosen = [trial.final.episodes.successes for trial in grid.trials if trial.labels["planner"] == "gd"]
    rate = Rate.of(grid.having("planner", "gd"))
    assert (rate.successes, rate.episodes) == (sum(chosen), 160)


def test_the_answer_names_the_best_trial_and_what_mattered(grid: Grid) -> None:
    text = answer(grid, compare_axes(grid), make_choices(grid))
    assert "planner: cem beats gd by" in text
    assert "no difference at this n between the choices of conditioning." in text


def test_tasks_of_different_environments_are_not_paired(made: MadeUp, tmp_path: Path) -> None:
    other = make(tmp_path)
    other.finish_all()
    trials = other.trials
    for trial in trials:
        trial["settings"]["env"] = {"kind": "point", "size": 32 if trial["labels"]["planner"] == "gd" else 64}
    other.ask(trials=trials)
    assert {one.axis for one in compare_axes(read_grid(other.store, NAME))} == {"conditioning"}


def test_a_grid_without_results_says_so(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.ask()
    grid = read_grid(made.store, NAME)
    assert compare_axes(grid) == []
    assert answer(grid, [], []) == "No trial has finished yet."


def test_a_choice_pools_its_seeds_and_says_how_far_they_lie_apart(grid: Grid) -> None:
    choices = make_choices(grid)
    assert [one.name for one in choices][:2] == ["conditioning=adaln, planner=cem", "conditioning=adaln, planner=gd"]
    assert [len(one.trials) for one in choices] == [2, 2, 2, 2]
    rates = [trial.final.episodes.success.mean() for trial in choices[0].trials]
    assert choices[0].spread == pytest.approx(abs(rates[0] - rates[1]) / 2**0.5)
    assert choices[0].rate.rate == pytest.approx(sum(rates) / 2)


def test_a_choice_stands_against_the_baseline_over_its_trainings(grid: Grid) -> None:
    baseline, *others = make_choices(grid)
    assert (baseline.is_baseline, baseline.against) == (True, None)
    gd = next(one.against for one in others if one.name == "conditioning=adaln, planner=gd")
    assert gd is not None
    assert (gd.verdict, gd.effect.trainings, gd.effect.tasks, gd.cells) == ("worse", 2, 40, 2)


def test_an_undecided_comparison_says_what_would_decide_it(grid: Grid) -> None:
    (conditioning,) = [one for one in compare_axes(grid) if one.axis == "conditioning"]
    assert conditioning.remedy in conditioning.sentence
    assert "would separate them" in conditioning.remedy


def test_all_evaluated_checkpoints_are_pooled(tmp_path: Path) -> None:
    made = make(tmp_path)
    trials = made.trials
    made.finish_all()
    for trial, other in zip(trials, [*trials[2:], *trials[:2]], strict=True):
        trial["evaluations"] = [{"epoch": 1, "key": other["evaluations"][0]["key"]}, *trial["evaluations"]]
    made.ask(trials=trials)
    grid = read_grid(made.store, NAME)
    assert Rate.of([grid.trials[0]]).episodes == 2 * 40
    (planner,) = [one for one in compare_axes(grid) if one.axis == "planner"]
    assert (planner.paired.n, planner.effect.tasks, planner.effect.trainings) == (2 * 4 * 40, 40, 4)
    assert planner.effect.difference == pytest.approx(planner.paired.difference)
