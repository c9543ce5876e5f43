"""By simulation: how often intervals hold the truth, and how often equal choices are called different.

Rates are averaged over a band of 0.03 around each, because the coverage of any interval of a single rate jumps with it
(at a rate of 0.05 and 32 episodes even the exact one covers 98 %). Trainings differ by up to 10 points (standard
deviation), tasks in difficulty: two trainings agree on a task more often than chance.
"""

import numpy as np
import pytest

from worldgrid.stats import LEVEL, Floats, effect, mcnemar, pool, rate_interval, spread_of

BAND, AGREEMENT = 0.03, 0.3
"""Half the width of the band; correlation of two trainings' successes on a task."""

pytestmark = pytest.mark.slow


def played(rng: np.random.Generator, rate: float, trainings: int, tasks: int, spread: float) -> Floats:
    """`[trainings, tasks]` chances of success: tasks of beta-distributed difficulty, trainings better or worse."""
    shared = 1 / AGREEMENT - 1
    difficulty = rng.beta(rate * shared, (1 - rate) * shared, tasks)
    luck = spread * rng.standard_normal((trainings, 1))
    chances: Floats = np.clip(difficulty + luck * 4 * difficulty * (1 - difficulty), 0, 1)
    return chances


def ids(trainings: int, tasks: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(trainings), tasks), np.tile(np.arange(tasks), trainings)


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("tasks", [32, 96])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_the_interval_of_a_rate_holds_it_95_times_in_100(rate: float, tasks: int, seeds: int) -> None:
    rng, held, times = np.random.default_rng([round(100 * rate), tasks, seeds]), 0, 12000
    _, on = ids(seeds, tasks)
    for _ in range(times):
        true = rng.uniform(rate - BAND, rate + BAND)
        success = rng.random((seeds, tasks)) < played(rng, true, seeds, tasks, 0.0)
        low, high = rate_interval(on, success.reshape(-1))
        held += low <= true <= high
    few = min(rate, 1 - rate) * tasks < 5  # no formula gives 95 % there; this one errs to the safe side
    assert 0.94 <= held / times <= (0.975 if few else 0.965)


@pytest.mark.parametrize("tasks", [32, 96])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_mcnemar_calls_equal_checkpoints_different_in_at_most_5_of_100(rate: float, tasks: int) -> None:
    rng, times = np.random.default_rng([round(100 * rate), tasks]), 4000
    wrong = 0
    for _ in range(times):
        first, second = rng.random((2, tasks)) < played(rng, rate, 1, tasks, 0.0)
        wrong += mcnemar(int((first & ~second).sum()), int((second & ~first).sum())) < LEVEL
    assert wrong / times <= 0.05


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_equal_choices_are_called_different_in_at_most_5_of_100(rate: float, seeds: int, spread: float) -> None:
    rng, wrong, times = np.random.default_rng([round(100 * rate), seeds, round(100 * spread)]), 0, 2000
    trainings, tasks = ids(seeds, 96)
    for _ in range(times):
        shared = played(rng, rate, 1, 96, 0.0)
        sides = (
            rng.random((seeds, 96)) < np.clip(shared + luck * 4 * shared * (1 - shared), 0, 1)
            for luck in spread * rng.standard_normal((2, seeds, 1))
        )
        first, second = (side.astype(float) for side in sides)
        wrong += effect(trainings, tasks, (first - second).reshape(-1)).p < LEVEL
    assert wrong / times <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)  # what chance allows a true 5 %


@pytest.mark.parametrize("seeds", [2, 3])
def test_choices_that_pool_their_spread_are_called_different_in_at_most_5_of_100(seeds: int) -> None:
    rng, wrong, times, choices = np.random.default_rng(seeds), 0, 500, 4
    trainings, tasks = ids(seeds, 96)
    for _ in range(times):
        shared = played(rng, 0.5, 1, 96, 0.0)
        luck = 0.08 * rng.standard_normal((choices + 1, seeds, 1))
        success = rng.random((choices + 1, seeds, 96)) < np.clip(shared + luck * 4 * shared * (1 - shared), 0, 1)
        found = [(success[place].astype(float) - success[0]).reshape(-1) for place in range(1, choices + 1)]
        pooled = pool([spread_of(trainings, one) for one in found])
        wrong += sum(effect(trainings, tasks, one, pooled).p < LEVEL for one in found)
    assert wrong / times / choices <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)  # they share a baseline, and so errors
