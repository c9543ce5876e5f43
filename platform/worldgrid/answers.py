"""Which choice is better, by how much, and how sure we are: a grid's comparisons, each with one plain sentence.

A trial's result pools the checkpoints it evaluates (`evaluate.epochs`; the paper pools the last 10). Repetitions
(seeds) are pooled too, and count as the trainings over which a difference has to hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from worldgrid.results import Episodes, Grid, Trial, is_repetition
from worldgrid.stats import (
    LEVEL,
    Effect,
    Flags,
    Floats,
    Ids,
    Interval,
    Paired,
    Spread,
    effect,
    holm,
    pool,
    rate_interval,
    spread_of,
)
from worldgrid.step import canonical
from worldgrid.wording import percent, points, probability, span

Verdict = Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Comparison:
    """Two choices and the answer."""

    first: str
    second: str
    paired: Paired
    """Pairs of episodes, over all checkpoints and cells."""
    effect: Effect
    p: float
    """Corrected for all comparisons made together."""
    axis: str = ""
    """The axis whose labels are compared; empty for two trials or two choices."""
    cells: int = 1
    """Trials on either side."""

    @property
    def verdict(self) -> Verdict:
        """What can be said of the first choice at this n."""
        if self.p >= LEVEL:
            return "no difference"
        return "better" if self.effect.difference > 0 else "worse"

    @property
    def sentence(self) -> str:
        """The answer in plain words."""
        numbers = (
            f"{percent(self.paired.first)} against {percent(self.paired.second)}, {points(self.effect.difference)} "
            f"{span(self.effect.interval, '%+.1f')}, {probability(self.p)}, n = {self.paired.n:,} pairs"
            + (f", {self.effect.trainings} trainings" if self.effect.trainings > 1 else "")
        )
        if self.verdict != "no difference":
            return f"{self.first} is {self.verdict} than {self.second} ({numbers})."
        more = f"; {self.remedy}" if self.remedy else ""
        return f"{self.first} and {self.second}: no difference at this n ({numbers}){more}."

    @property
    def remedy(self) -> str:
        """What would separate two choices that differ as much as these seem to; empty when they are separated."""
        if self.verdict != "no difference" or self.effect.difference == 0:
            return ""
        if self.effect.wanted is None:
            return "if this is how they differ, more training seeds would separate them, more episodes alone would not"
        more = math.ceil(self.effect.wanted) - self.effect.tasks
        return f"if this is how they differ, about {more:,} more episodes a trial would separate them" * (more > 0)


@dataclass(frozen=True)
class Rate:
    """Successes of some trials together."""

    successes: int
    episodes: int
    interval: Interval
    """Over start/goal pairs, for these checkpoints."""

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Rate:
        """All episodes that all checkpoints of the trials have played so far."""
        rows = [(_task(trial, one.episodes), one.episodes.success) for trial in trials for one in trial.evaluations]
        success = np.concatenate([success for _, success in rows])
        return cls(int(success.sum()), len(success), rate_interval(_numbered([tasks for tasks, _ in rows]), success))

    @property
    def rate(self) -> float:
        """Success rate; only where episodes were played."""
        return self.successes / self.episodes


def _task(trial: Trial, episodes: Episodes) -> tuple[str, Ids]:
    """What names the start/goal pairs of an evaluation: the place they come from, and their seeds."""
    drawn = trial.settings["evaluate"].get("goals") != "dataset"
    return canonical([trial.settings["env"], None if drawn else trial.steps.get("tasks")]), episodes.seed


def _numbered(tasks: Sequence[tuple[str, Ids]]) -> Ids:
    """Equal numbers for equal start/goal pairs."""
    places = {place: number for number, place in enumerate(sorted({place for place, _ in tasks}))}
    pairs = np.concatenate([np.stack([np.full(len(seeds), places[place]), seeds], axis=1) for place, seeds in tasks])
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True, eq=False)
class _Matched:
    """Episodes of two checkpoints on the start/goal pairs they share."""

    training: tuple[str, str]
    tasks: tuple[str, Ids]
    first: Flags
    second: Flags


def _match(first: Trial, second: Trial) -> list[_Matched]:
    """Two finished trials, last checkpoint with last and so on back, on the start/goal pairs they share."""
    if not (first.finished and second.finished):
        return []
    found = []
    training = (first.steps["train"], second.steps["train"])
    for one, two in zip(reversed(first.evaluations), reversed(second.evaluations), strict=False):
        (place, seeds), (other, _) = _task(first, one.episodes), _task(second, two.episodes)
        shared, left, right = np.intersect1d(seeds, two.episodes.seed, return_indices=True)
        if place == other and len(shared):
            success = one.episodes.success[left], two.episodes.success[right]
            found.append(_Matched(training, (place, shared), *success))
    return found


class Question(NamedTuple):
    """Two choices, and the trials that stand for them, two by two."""

    first: str
    second: str
    trials: Sequence[tuple[Trial, Trial]]
    axis: str = ""


def compare(questions: Sequence[Question]) -> list[Comparison | None]:
    """Questions that are read together, p values corrected for their number; None where no start/goal pair is shared.

    Those of one axis pool what they know of the spread between trainings; where both sides share a training, its luck
    cancels, so these are pooled apart.
    """
    matched = [[pairs for one, two in question.trials if (pairs := _match(one, two))] for question in questions]
    cells = [_cells([row for rows in found for row in rows]) if found else None for found in matched]
    spreads: dict[tuple[str, bool], list[Spread]] = {}
    for question, cell in zip(questions, cells, strict=True):
        if cell:
            spreads.setdefault((question.axis, cell.shared), []).append(spread_of(cell.trainings, cell.differences))
    found = [
        cell and _conclude(question, rows, cell, pool(spreads[question.axis, cell.shared]))
        for question, rows, cell in zip(questions, matched, cells, strict=True)
    ]
    after = iter(holm([one.effect.p for one in found if one]))
    return [one and replace(one, p=next(after)) for one in found]


def _conclude(question: Question, matched: Sequence[Sequence[_Matched]], cells: _Cells, spread: Spread) -> Comparison:
    rows = [row for pairs in matched for row in pairs]
    paired = Paired.of(*(np.concatenate([getattr(row, side) for row in rows]) for side in ("first", "second")))
    found = effect(cells.trainings, cells.tasks, cells.differences, spread)
    low, high = found.interval
    found = replace(found, interval=Interval(max(low, -1.0), min(high, 1.0)))
    if len(rows) == 1:  # one checkpoint against one other: exact
        found = replace(found, p=paired.p, interval=paired.interval)
    return Comparison(question.first, question.second, paired, found, found.p, question.axis, len(matched))


class _Cells(NamedTuple):
    """One mean difference `[N]` for every training (or pair of them) on every task."""

    trainings: Ids
    tasks: Ids
    differences: Floats
    shared: bool
    """Whether both sides plan with the same training."""


def _cells(rows: Sequence[_Matched]) -> _Cells:
    names = sorted({row.training for row in rows})
    trainings = np.concatenate([np.full(len(row.first), names.index(row.training)) for row in rows])
    tasks = _numbered([row.tasks for row in rows])
    differences: Floats = np.concatenate([row.first.astype(np.float64) - row.second for row in rows])
    cells, member = np.unique(np.stack([trainings, tasks], axis=1), axis=0, return_inverse=True)
    member = member.reshape(-1)
    means = np.bincount(member, differences) / np.bincount(member)
    return _Cells(cells[:, 0], cells[:, 1], means, all(first == second for first, second in names))


def compare_axes(grid: Grid) -> list[Comparison]:
    """Every two labels of every axis of choices, over all cells of the grid that differ in nothing else."""
    questions = []
    for axis in grid.axes:
        if not is_repetition(axis):
            for first, second in itertools.combinations(grid.axes[axis], 2):
                cells = [(one, grid.at({**one.labels, axis: second})) for one in grid.having(axis, first)]
                questions.append(Question(first, second, [(one, two) for one, two in cells if two], axis))
    return [one for one in compare(questions) if one]


def compare_baseline(grid: Grid) -> dict[str, Comparison]:
    """Trial key -> the trial against its counterpart of the baseline, where both are finished."""
    pairs = [(trial, two) for trial in grid.trials if (two := grid.counterpart(trial))]
    found = compare([Question(one.name, two.name, [(one, two)]) for one, two in pairs])
    return {one.key: told for (one, _), told in zip(pairs, found, strict=True) if told}


@dataclass(frozen=True)
class Choice:
    """The trials that differ in their repetitions only."""

    name: str
    labels: dict[str, str]
    """Axis of choices -> label."""
    trials: tuple[Trial, ...]
    rate: Rate
    against: Comparison | None
    """Against the baseline's choice, over trainings."""
    is_baseline: bool

    @property
    def spread(self) -> float | None:
        """Standard deviation of the success rate between its trials; None for a single one."""
        rates = [Rate.of([trial]).rate for trial in self.trials]
        return float(np.std(rates, ddof=1)) if len(rates) > 1 else None


def make_choices(grid: Grid) -> list[Choice]:
    """Every choice with finished trials, seeds and checkpoints pooled, compared with the baseline's."""
    cells: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in grid.trials:
        if trial.finished:
            chosen = tuple((axis, label) for axis, label in trial.labels.items() if not is_repetition(axis))
            cells.setdefault(chosen, []).append(trial)
    names = [", ".join(f"{axis}={label}" for axis, label in labels) or grid.name for labels in cells]
    pairs = [[(one, two) for one in trials if (two := grid.counterpart(one))] for trials in cells.values()]
    found = compare([Question(name, "the baseline", trials) for name, trials in zip(names, pairs, strict=True)])
    return [
        Choice(name, dict(labels), tuple(trials), Rate.of(trials), against, all(map(grid.is_baseline, trials)))
        for name, (labels, trials), against in zip(names, cells.items(), found, strict=True)
    ]


def answer(grid: Grid, comparisons: Sequence[Comparison], choices: Sequence[Choice]) -> str:
    """The grid's answer in one sentence: the best choice, and what each axis turned out to matter."""
    if not choices:
        return "No trial has finished yet."
    best = max(choices, key=lambda one: one.rate.rate)
    finished = sum(trial.finished for trial in grid.trials)
    some = "" if finished == len(grid.trials) else f" of the {finished} finished trials (of {len(grid.trials)})"
    seeds = f" of {len(best.trials)} trials" if len(best.trials) > 1 else ""
    parts = [
        f"Best{some} is {best.name} with {percent(best.rate.rate)} success {span(best.rate.interval)} "
        f"on {best.rate.episodes} episodes{seeds}"
    ]
    told = [one for one in comparisons if one.verdict != "no difference"]
    parts += [f"{one.axis}: {' beats '.join(_ranked(one))} by {_told(one)}" for one in told]
    open_axes = [axis for axis in grid.axes if axis in {one.axis for one in comparisons} - {one.axis for one in told}]
    if open_axes:
        parts.append(f"no difference at this n between the choices of {', '.join(open_axes)}")
    return "; ".join(parts) + "."


def _ranked(one: Comparison) -> tuple[str, str]:
    return (one.first, one.second) if one.effect.difference > 0 else (one.second, one.first)


def _told(one: Comparison) -> str:
    return f"{points(abs(one.effect.difference)).removeprefix('+')} ({probability(one.p)})"
