"""Intervals and paired tests."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from worldgrid.stats import Paired, Spread, effect, holm, mcnemar, pool, rate_interval, spread_of, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(59, 64, 0.8298, 0.9662), (0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_gives_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    # The last two from Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_wilsons_interval_holds_its_rate_to_the_last_bit() -> None:
    for n in range(1, 200):
        for successes in (0, 1, n - 1, n):
            low, high = wilson(successes, n)
            assert low <= successes / n <= high


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


@pytest.mark.parametrize(("successes", "n"), [(0, 32), (5, 96), (48, 96), (96, 96)])
def test_wilson_is_what_statsmodels_says(successes: int, n: int) -> None:
    assert wilson(successes, n) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-12)


def test_holm_is_what_statsmodels_says() -> None:
    values = np.random.default_rng(0).random(20).tolist()
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_mcnemar_is_what_statsmodels_says() -> None:
    paired = Paired(both=20, wins=12, losses=4, neither=28)
    table = [[paired.both, paired.wins], [paired.losses, paired.neither]]
    assert paired.p == pytest.approx(reference_mcnemar(table, exact=True).pvalue)


def test_tasks_played_once_have_wilsons_own_interval() -> None:
    success = np.random.default_rng(0).random(64) < 0.7
    assert rate_interval(np.arange(64), success) == pytest.approx(wilson(int(success.sum()), 64))


def test_a_task_counts_once_however_often_the_same_thing_happens_on_it() -> None:
    success = np.random.default_rng(0).random(64) < 0.7
    low, high = rate_interval(np.tile(np.arange(64), 3), np.tile(success, 3))
    assert (low, high) == pytest.approx(wilson(int(success.sum()), 64), abs=5e-3)


def test_independent_episodes_on_the_same_tasks_count_almost_all() -> None:
    success = np.random.default_rng(0).random(3 * 400) < 0.5
    low, high = rate_interval(np.tile(np.arange(400), 3), success)
    alone = wilson(int(success.sum()), len(success))
    assert high - low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_one_training_is_a_t_test_over_tasks() -> None:
    differences = np.random.default_rng(0).normal(0.1, 0.5, 40)
    found, wanted = effect(np.zeros(40, int), np.arange(40), differences), ttest_1samp(differences, 0)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.interval == pytest.approx(tuple(wanted.confidence_interval()))


def test_trainings_that_differ_make_an_effect_less_sure() -> None:
    rng = np.random.default_rng(0)
    noise, luck = rng.normal(0, 0.3, (4, 200)), np.array([[0.2], [-0.2], [0.15], [-0.15]])
    ids = np.repeat(np.arange(4), 200), np.tile(np.arange(200), 4)
    alike, unlike = (effect(*ids, (0.1 + one).reshape(-1)) for one in (noise, noise + luck))
    assert alike.p < 0.001
    assert unlike.p > 0.2


def test_an_effect_is_as_sure_as_a_bootstrap_over_trainings_and_tasks() -> None:
    rng = np.random.default_rng(0)
    values = 0.1 + rng.normal(0, 0.2, (40, 1)) + rng.normal(0, 0.2, (1, 40)) + rng.normal(0, 0.2, (40, 40))
    found = effect(np.repeat(np.arange(40), 40), np.tile(np.arange(40), 40), values.reshape(-1))
    drawn = [values[rng.integers(40, size=40)][:, rng.integers(40, size=40)].mean() for _ in range(4000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.interval == pytest.approx((low, high), abs=0.02)


def test_the_episodes_wanted_are_enough_to_tell_a_difference_of_that_size() -> None:
    rng, found = np.random.default_rng(0), 0
    first, second = rng.random((2, 100_000)) < np.array([[0.6], [0.5]])
    wanted = effect(np.zeros(100_000, int), np.arange(100_000), first.astype(float) - second).wanted
    assert wanted is not None
    for _ in range(1000):
        one, two = rng.random((2, round(wanted))) < np.array([[0.6], [0.5]])
        found += effect(np.zeros(len(one), int), np.arange(len(one)), one.astype(float) - two).p < 0.05
    assert 0.75 <= found / 1000 <= 0.85


def test_no_number_of_episodes_tells_what_trainings_blur() -> None:
    values = np.array([[0.3], [-0.28]]) + np.random.default_rng(0).normal(0, 0.1, (2, 50))
    assert effect(np.repeat([0, 1], 50), np.tile(np.arange(50), 2), values.reshape(-1)).wanted is None


def test_two_trainings_that_agree_by_luck_are_not_believed() -> None:
    differences = np.tile(np.random.default_rng(0).normal(0.3, 1.0, 64), 2)
    ids = np.repeat([0, 1], 64), np.tile(np.arange(64), 2)
    alone, pooled = effect(*ids, differences), effect(*ids, differences, Spread(0.1, 6.0))
    assert pooled.p > alone.p


def test_spreads_are_pooled_by_their_degrees_of_freedom() -> None:
    assert pool([Spread(0.1, 1.0), Spread(0.4, 2.0), Spread(0.0, 0.0)]) == pytest.approx((0.3, 3.0))
    assert spread_of(np.array([0, 0, 1, 1]), np.array([0.0, 0.2, 0.4, 0.6])) == pytest.approx((0.08, 1.0))


def test_pairs_that_all_agree_are_told_with_the_rule_of_three() -> None:
    nothing = effect(np.zeros(60, int), np.arange(60), np.zeros(60))
    assert (nothing.p, nothing.interval) == (1.0, (-0.05, 0.05))
