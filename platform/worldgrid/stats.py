"""Which choice is better, by how much, and how sure we are: intervals, paired tests, one plain sentence each.

All probabilities are two-sided at 95 %. Pooled comparisons treat episodes as independent pairs, although the cells of
a grid share their start/goal pairs and their training seeds; a hierarchical bootstrap over training seed, epoch and
episode is the honest successor (issue 8).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from worldgrid.results import Grid, Trial, is_repetition

Flags = NDArray[np.bool_]
LEVEL = 0.05
"""Below this corrected p a difference is called one."""

Verdict = Literal["better", "worse", "no difference"]


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """The Wilson score interval of a rate; nothing tried is everything possible."""
    if n == 0:
        return Interval(0.0, 1.0)
    z, rate = float(ndtri(0.975)), successes / n
    middle = rate + z**2 / (2 * n)
    reach = z * math.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    scale = 1 + z**2 / n
    return Interval(max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


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

    def __add__(self, other: Paired) -> Paired:
        return Paired(
            self.both + other.both,
            self.wins + other.wins,
            self.losses + other.losses,
            self.neither + other.neither,
        )

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
        """Exact McNemar p of the difference."""
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
class Comparison:
    """Two choices and the answer."""

    first: str
    second: str
    paired: Paired
    p: float
    """Corrected for all comparisons made together."""
    axis: str = ""
    """The axis whose labels are compared; empty for two trials."""
    cells: int = 1
    """Trials on either side."""

    @property
    def verdict(self) -> Verdict:
        """What can be said of the first choice at this n."""
        if self.p >= LEVEL:
            return "no difference"
        return "better" if self.paired.difference > 0 else "worse"

    @property
    def sentence(self) -> str:
        """The answer in plain words."""
        low, high = self.paired.interval
        numbers = (
            f"{percent(self.paired.first)} against {percent(self.paired.second)}, "
            f"{100 * self.paired.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], {probability(self.p)}, "
            f"n = {self.paired.n} pairs"
        )
        if self.verdict == "no difference":
            return f"{self.first} and {self.second}: no difference at this n ({numbers})."
        return f"{self.first} is {self.verdict} than {self.second} ({numbers})."


def percent(rate: float) -> str:
    """A rate for people, `92.2 %`."""
    return f"{100 * rate:.1f} %"


def probability(p: float) -> str:
    """A p value for people, never rounded to 0."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def pair(first: Trial, second: Trial) -> Paired | None:
    """Two finished trials on the start/goal pairs they share; None where there are none.

    Tasks are the same where the env's settings and the episodes' seeds are.
    """
    if not (first.finished and second.finished) or first.settings["env"] != second.settings["env"]:
        return None
    left, right = first.final.episodes, second.final.episodes
    shared, in_left, in_right = np.intersect1d(left.seed, right.seed, return_indices=True)
    return Paired.of(left.success[in_left], right.success[in_right]) if len(shared) else None


def compare_axes(grid: Grid) -> list[Comparison]:
    """Every two labels of every axis of choices, over all cells of the grid that differ in nothing else."""
    found = []
    for axis in grid.axes:
        if not is_repetition(axis):
            for first, second in itertools.combinations(grid.axes[axis], 2):
                cells = ((one, grid.at({**one.labels, axis: second})) for one in grid.having(axis, first))
                pairs = [paired for one, two in cells if two is not None and (paired := pair(one, two))]
                if pairs:
                    total = sum(pairs[1:], start=pairs[0])
                    found.append(Comparison(first, second, total, total.p, axis, len(pairs)))
    return _corrected(found)


def compare_baseline(grid: Grid) -> dict[str, Comparison]:
    """Trial key -> the trial against its counterpart of the baseline, where both are finished."""
    found = {}
    for trial in grid.trials:
        counterpart = grid.counterpart(trial)
        paired = counterpart and pair(trial, counterpart)
        if counterpart and paired:
            found[trial.key] = Comparison(trial.name, counterpart.name, paired, paired.p)
    return dict(zip(found, _corrected(list(found.values())), strict=True))


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    values = holm([one.paired.p for one in comparisons])
    return [
        Comparison(one.first, one.second, one.paired, p, one.axis, one.cells)
        for one, p in zip(comparisons, values, strict=True)
    ]


def main_effect(grid: Grid, axis: str, label: str) -> tuple[int, int]:
    """Successes and episodes of all finished trials with a label."""
    chosen = [trial.final.episodes for trial in grid.having(axis, label) if trial.finished]
    return sum(episodes.successes for episodes in chosen), sum(len(episodes) for episodes in chosen)


def answer(grid: Grid, comparisons: Sequence[Comparison]) -> str:
    """The grid's answer in one sentence: the best trial, and what each axis turned out to matter."""
    finished = [trial for trial in grid.trials if trial.finished]
    if not finished:
        return "No trial has finished yet."
    best = max(finished, key=lambda trial: trial.final.episodes.success.mean())
    episodes = best.final.episodes
    low, high = wilson(episodes.successes, len(episodes))
    some = (
        "" if len(finished) == len(grid.trials) else f" of the {len(finished)} finished trials (of {len(grid.trials)})"
    )
    parts = [
        f"Best{some} is {best.name.replace(',', ', ')} with {percent(episodes.successes / len(episodes))} success "
        f"[{100 * low:.1f}, {100 * high:.1f}] on {len(episodes)} episodes",
    ]
    told = [one for one in comparisons if one.verdict != "no difference"]
    parts += [f"{one.axis}: {' beats '.join(_ranked(one))} by {_points(one)}" for one in told]
    open_axes = [axis for axis in grid.axes if axis in {one.axis for one in comparisons} - {one.axis for one in told}]
    if open_axes:
        parts.append(f"no difference at this n between the choices of {', '.join(open_axes)}")
    return "; ".join(parts) + "."


def _ranked(one: Comparison) -> tuple[str, str]:
    return (one.first, one.second) if one.paired.difference > 0 else (one.second, one.first)


def _points(one: Comparison) -> str:
    return f"{100 * abs(one.paired.difference):.1f} points ({probability(one.p)})"
