"""How sure we are: intervals of rates, tests of paired differences. Numbers in, numbers out, all two-sided at 95 %.

Two questions, two kinds of answer. How good are *these checkpoints*? A rate with Wilson's interval over start/goal
pairs; where several checkpoints met the same pairs, `rate_interval` counts a pair as one observation, however often
it was played. Is one *choice* better, whoever trains it? `effect`: differences on the same pairs vary with the pair
and with the training, and both count (random effects, crossed). It is what a bootstrap over trainings, epochs and
episodes estimates, in closed form: with the 2 or 3 trainings that people can pay for, resampling itself would find too
little variance. One checkpoint against one other has nothing to pool: the exact McNemar test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtr, stdtrit

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

LEVEL = 0.05
"""Below this corrected p a difference is called one."""
POWER = 0.8
"""How likely a difference of the size seen should be found by the number of episodes that `Effect.wanted` names."""
FREEDOM = 2
"""Most degrees of freedom for each training beyond the first.

Satterthwaite's formula alone trusts a lucky agreement of two trainings. With this, equal choices are called different
in at most 5 % of simulations up to a spread of 10 points between trainings (tests/test_coverage.py).
"""
Z = float(ndtri(1 - LEVEL / 2))


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(successes: float, n: float, quantile: float = Z) -> Interval:
    """The Wilson score interval of a rate; nothing tried is everything possible."""
    if n == 0:
        return Interval(0.0, 1.0)
    rate = successes / n
    middle = rate + quantile**2 / (2 * n)
    reach = quantile * math.sqrt(rate * (1 - rate) / n + (quantile / (2 * n)) ** 2)
    scale = 1 + quantile**2 / n
    low, high = (middle - reach) / scale, (middle + reach) / scale
    return Interval(max(0.0, min(low, rate)), min(1.0, max(high, rate)))  # rounding puts 0 of 3 below its interval


def rate_interval(tasks: Ids, success: Flags) -> Interval:
    """Wilson's interval of the rate of N played episodes `[N]`, of which those with equal `tasks` are not independent.

    With every task played once it is Wilson's own. Else it is his formula at the effective number of episodes, which
    lies between tasks and episodes, and with the quantile of the t distribution, as that number is estimated: Dean and
    Pagano (2015), Journal of Survey Statistics and Methodology 3:484.
    """
    clusters = _Groups.of(tasks)
    if clusters.n == len(success):
        return wilson(int(success.sum()), len(success))
    rate, freedom = float(success.mean()), max(clusters.n - 1, 1)
    spread = float((clusters.sums(success.astype(np.float64) - rate) ** 2).sum()) * clusters.n / freedom
    n = len(success) ** 2 * rate * (1 - rate) / spread if spread > 0 else clusters.n
    n = min(max(n, 1.0), len(success))
    return wilson(rate * n, n, float(stdtrit(freedom, 1 - LEVEL / 2)))


def mcnemar(wins: int, losses: int) -> float:
    """Exact McNemar test: how likely discordant pairs are to split this unevenly by chance."""
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down procedure, in the order given."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


@dataclass(frozen=True)
class Paired:
    """How two choices did on the same start/goal pairs."""

    both: int
    wins: int
    """Pairs only the first solved."""
    losses: int
    """Pairs only the second solved."""
    neither: int

    @classmethod
    def of(cls, first: Flags, second: Flags) -> Paired:
        """Count two success vectors `[n]` whose entries belong together."""
        both, wins = int((first & second).sum()), int((first & ~second).sum())
        losses = int((~first & second).sum())
        return cls(both, wins, losses, len(first) - both - wins - losses)

    @property
    def n(self) -> int:
        """Pairs."""
        return self.both + self.wins + self.losses + self.neither

    @property
    def first(self) -> float:
        """Success rate of the first choice."""
        return (self.both + self.wins) / self.n

    @property
    def second(self) -> float:
        """Success rate of the second choice."""
        return (self.both + self.losses) / self.n

    @property
    def difference(self) -> float:
        """First rate less second."""
        return (self.wins - self.losses) / self.n

    @property
    def p(self) -> float:
        """Exact McNemar p of the difference; for independent pairs only."""
        return mcnemar(self.wins, self.losses)

    @property
    def interval(self) -> Interval:
        """Interval of the difference: two Wilson intervals, joined through their correlation.

        Newcombe (1998), Statistics in Medicine 17:2635, method 10.
        """
        (low1, high1), (low2, high2) = (wilson(self.both + count, self.n) for count in (self.wins, self.losses))
        phi = self._correlation()
        down = _leg(self.first - low1, high2 - self.second, phi)
        up = _leg(high1 - self.first, self.second - low2, phi)
        return Interval(max(-1.0, self.difference - down), min(1.0, self.difference + up))

    def _correlation(self) -> float:
        """Phi of the two outcomes, with Newcombe's continuity correction towards 0."""
        first, second = self.both + self.wins, self.both + self.losses
        margins = first * (self.n - first) * second * (self.n - second)
        if margins == 0:
            return 0.0
        product = self.both * self.neither - self.wins * self.losses
        return (max(product - self.n / 2, 0.0) if product > 0 else product) / math.sqrt(margins)


def _leg(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))


@dataclass(frozen=True)
class Effect:
    """How much larger something is for the first of two choices."""

    difference: float
    interval: Interval
    p: float
    tasks: int
    """Distinct start/goal pairs."""
    trainings: int
    """Distinct trainings, or pairs of them; with one, the answer is about its checkpoints alone."""
    wanted: float | None
    """Tasks at which a difference of this size is found with `POWER`; None where tasks alone cannot do it."""


class Spread(NamedTuple):
    """How much the mean difference varies from training to training."""

    variance: float
    freedom: float
    """Degrees of freedom it was estimated with; 0 where there was one training."""


def spread_of(trainings: Ids, differences: Floats) -> Spread:
    """Variance of the trainings' mean differences."""
    groups = _Groups.of(trainings)
    if groups.n == 1:
        return Spread(0.0, 0.0)
    return Spread(float(np.var(groups.sums(differences) / groups.sizes, ddof=1)), groups.n - 1.0)


def pool(spreads: Sequence[Spread]) -> Spread:
    """One spread for comparisons of the same kind, as in an analysis of variance: two seeds alone say too little."""
    freedom = sum(one.freedom for one in spreads)
    variance = sum(one.freedom * one.variance for one in spreads) / freedom if freedom else 0.0
    return Spread(variance, freedom)


def effect(trainings: Ids, tasks: Ids, differences: Floats, spread: Spread | None = None) -> Effect:
    """Mean of the paired differences `[N]`, its interval and t test, when both trainings and tasks are samples.

    `differences` has one value for a training and a task; `spread` is their own unless several comparisons pool it.
    The variance is that of crossed random effects (Searle, Casella and McCulloch 1992, Variance Components, chapter
    4), each component at least 0; degrees of freedom are Satterthwaite's, at most `FREEDOM` times the spread's.
    """
    by_training, by_task = _Groups.of(trainings), _Groups.of(tasks)
    mean, n = float(differences.mean()), len(differences)
    around = differences - mean
    of_tasks = by_task.variance(around)
    if by_training.n == 1:
        return _conclude(mean, 0.0, of_tasks, by_task.n - 1.0, (by_task.n, 1))
    found = spread or spread_of(trainings, differences)
    of_trainings, left = found.variance / by_training.n, _interaction(by_training, by_task, around)
    between, among = max(of_trainings - left, 0.0), max(of_tasks - left, 0.0)
    parts = [
        (of_trainings if between else 0.0, found.freedom),
        (of_tasks if among else 0.0, by_task.n - 1),
        ((1 - bool(between) - bool(among)) * left, n - 1),
    ]
    scale = sum(part**2 / max(freedom, 1) for part, freedom in parts)
    freedom = (between + among + left) ** 2 / scale if scale > 0 else 1.0
    freedom = min(max(freedom, 1.0), FREEDOM * found.freedom)
    return _conclude(mean, between, among + left, freedom, (by_task.n, by_training.n))


def _conclude(mean: float, between: float, among: float, freedom: float, counts: tuple[int, int]) -> Effect:
    """An effect from the variance of its mean between trainings and among tasks."""
    tasks, trainings = counts
    if between + among == 0 or freedom < 1:
        # Every pair says the same. Rule of three: what was never seen in n tries happens in at most about 3 / n.
        low, high, p = mean - 3 / tasks, mean + 3 / tasks, mcnemar(tasks, 0) if mean else 1.0
    else:
        error = math.sqrt(between + among)
        reach = float(stdtrit(freedom, 1 - LEVEL / 2)) * error
        low, high, p = mean - reach, mean + reach, 2 * float(stdtr(freedom, -abs(mean) / error))
    room = (mean / (Z + float(ndtri(POWER)))) ** 2 - between
    wanted = tasks * among / room if room > 0 else None
    return Effect(mean, Interval(low, high), p, tasks, trainings, wanted)


def _interaction(first: _Groups, second: _Groups, around: Floats) -> float:
    """Variance of the mean that is left when both groupings are taken out, by turns until nothing changes."""
    left = around
    for _ in range(50):
        before, left = left, second.centred(first.centred(left))
        if np.allclose(before, left, atol=1e-9):
            break
    n = len(around)
    return float((left**2).sum()) / max(n - first.n - second.n + 1, 1) / n


@dataclass(frozen=True)
class _Groups:
    """N values in n groups."""

    member: Ids
    """`[N]` the group of each value, 0 to n - 1."""
    sizes: Floats
    """`[n]`."""

    @classmethod
    def of(cls, ids: Ids) -> _Groups:
        _, member, sizes = np.unique(ids, return_inverse=True, return_counts=True)
        return cls(member, sizes.astype(np.float64))

    @property
    def n(self) -> int:
        return len(self.sizes)

    def sums(self, values: Floats) -> Floats:
        """`[n]`."""
        return np.bincount(self.member, values, self.n).astype(np.float64)

    def centred(self, values: Floats) -> Floats:
        """`[N]` values less the mean of their group."""
        return values - (self.sums(values) / self.sizes)[self.member]

    def variance(self, around: Floats) -> float:
        """Variance of the mean of N values around it, when groups are drawn whole."""
        return float((self.sums(around) ** 2).sum()) / len(around) ** 2 * self.n / max(self.n - 1, 1)
