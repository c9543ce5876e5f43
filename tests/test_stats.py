"""Intervals, paired tests, and what is said of a grid."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from worldgrid.results import Grid, read_grid
from worldgrid.stats import Paired, answer, compare_axes, compare_baseline, holm, main_effect, mcnemar, wilson

from .synthetic import NAME, MadeUp, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    made = make(tmp_path_factory.mktemp("store"))
    made.finish_all()
    return made


@pytest.fixture(scope="module")
def grid(made: MadeUp) -> Grid:
    return read_grid(made.store, NAME)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(59, 64, 0.8298, 0.9662), (0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_gives_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    # The last two from Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 64, 1000])
def test_wilson_is_what_scipy_says(n: int) -> None:
    for successes in range(0, n + 1, max(1, n // 7)):
        found = binomtest(successes, n).proportion_ci(0.95, method="wilson")
        assert wilson(successes, n) == pytest.approx((found.low, found.high), abs=1e-12)


def test_nothing_tried_leaves_everything_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("wins", "losses"), [(10, 0), (12, 2), (5, 5), (5, 6), (1, 30), (300, 280)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(wins: int, losses: int) -> None:
    assert mcnemar(wins, losses) == pytest.approx(binomtest(wins, wins + losses, 0.5).pvalue)


def test_ten_wins_and_no_loss_happen_by_chance_twice_in_1024() -> None:
    assert mcnemar(10, 0) == pytest.approx(2 / 1024)


def test_no_discordant_pair_is_no_evidence() -> None:
    assert mcnemar(0, 0) == 1.0


def test_holm_steps_down_and_never_lets_a_larger_p_overtake() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_success_vectors_are_counted_pair_by_pair() -> None:
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert Paired.of(first, second) == Paired(both=1, wins=2, losses=1, neither=1)


@pytest.mark.parametrize(
    ("paired", "low", "high"),
    [
        (Paired(36, 12, 2, 0), 0.0569, 0.3404),
        (Paired(20, 12, 2, 16), 0.0562, 0.3292),
        (Paired(0, 0, 0, 50), -0.0713, 0.0713),
    ],
)
def test_the_interval_of_a_paired_difference_is_newcombes(paired: Paired, low: float, high: float) -> None:
    assert paired.interval == pytest.approx((low, high), abs=2e-4)


def test_a_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        difficulty = rng.random(64)
        first, second = rng.random((2, 64)) < np.array([0.4, 0.0])[:, None] + 0.6 * difficulty
        low, high = Paired.of(first, second).interval
        covered += low <= 0.4 <= high
    assert 0.93 <= covered / 1000 <= 0.985


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
    assert [one.p for one in comparisons] == pytest.approx(holm([one.paired.p for one in comparisons]))


def test_trials_stand_against_the_baseline_of_their_own_seed(grid: Grid) -> None:
    against = compare_baseline(grid)
    assert len(against) == 6
    assert all(grid.trials[place].key not in against for place in (0, 1))
    name = "conditioning=feature,planner=gd,train.seed=1"
    (one,) = [one for one in against.values() if one.first == name]
    assert (one.second, one.verdict) == ("conditioning=adaln,planner=cem,train.seed=1", "worse")


def test_the_main_effect_pools_all_trials_of_a_label(grid: Grid) -> None:
    chosen = [trial.final.episodes.successes for trial in grid.trials if trial.labels["planner"] == "gd"]
    assert main_effect(grid, "planner", "gd") == (sum(chosen), 160)


def test_the_answer_names_the_best_trial_and_what_mattered(grid: Grid) -> None:
    text = answer(grid, compare_axes(grid))
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
    assert answer(grid, []) == "No trial has finished yet."
