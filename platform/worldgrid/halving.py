"""Halving: which trials of a search go on, rung by rung. A function of what the store holds, so it can be asked again.

All trials that are still in reach a rung before one leaves it: which worker was faster decides nothing. Trials compete
with those that differ from them by what was drawn alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worldgrid.curve import read_curve
from worldgrid.grid import Grid, Trial
from worldgrid.results import STOPPED, curve_path
from worldgrid.search import AXIS, Search
from worldgrid.step import Step
from worldgrid.store import Store


class Leg(NamedTuple):
    """Trials that run side by side."""

    trials: Sequence[Trial]
    until: int | None
    """The epoch at which they wait for each other; None: they run to their end."""


class Stopped(NamedTuple):
    """Where a trial was stopped."""

    epoch: int
    score: float

    def told(self, by: str) -> str:
        """As the trial's row says it."""
        return f"{STOPPED}{self.epoch}: {by} {abs(self.score):.4g} was not among the best"


def legs(grid: Grid, store: Store) -> Iterator[Leg]:
    """One after the other what is to be run; each is known when the one before has ended. Who failed does not go on."""
    search, alive = grid.search, grid.trials
    for epoch in search.rungs if search else ():
        assert search
        yield Leg(alive, epoch)
        scores = _scores(search, alive, epoch, store)
        alive = _best(search, [trial for trial in alive if trial.key in scores], scores)
    yield Leg(alive, None)


def stopped(grid: Grid, store: Store) -> dict[str, Stopped]:
    """Trial key -> where it was stopped, as far as every trial of a rung has got there."""
    search, alive = grid.search, grid.trials
    found: dict[str, Stopped] = {}
    for epoch in search.rungs if search else ():
        assert search
        scores = _scores(search, alive, epoch, store)
        if len(scores) < len(alive):
            break
        best = _best(search, alive, scores)
        going = {trial.key for trial in best}
        out = [trial for trial in alive if trial.key not in going]
        found |= {trial.key: Stopped(epoch, scores[trial.key]) for trial in out}
        alive = best
    return found


def needed(trial: Trial, until: int | None, search: Search | None) -> list[Step]:
    """The evaluations that a trial needs for a leg, beside its training up to there."""
    if until is None:
        return [one.step for one in trial.evaluations]
    assert search
    return [trial.experiment.evaluation(until).step] if search.by == "success_rate" else []


def _scores(search: Search, trials: Sequence[Trial], epoch: int, store: Store) -> dict[str, float]:
    """Trial key -> how good it was after an epoch, more being better; those that got there."""
    found = {trial.key: _score(search, trial, epoch, store) for trial in trials}
    return {key: score for key, score in found.items() if score is not None}


def _score(search: Search, trial: Trial, epoch: int, store: Store) -> float | None:
    if search.by == "success_rate":
        done = store.done(trial.experiment.evaluation(epoch).step.key)
        return done.metrics["successes"] / done.metrics["episodes"] if done else None
    lines, _ = read_curve(curve_path(store, trial.training.key))
    errors = [value for line in lines if line["epoch"] == epoch for name, value in line.items() if _is_error(name)]
    return -errors[-1] if errors else None


def _is_error(name: str) -> bool:
    return name.startswith("validation/rollout_error_")


def _best(search: Search, trials: Sequence[Trial], scores: dict[str, float]) -> list[Trial]:
    """Those that go on, in the grid's order; of equals the first."""
    kinds: dict[tuple[str, ...], list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(tuple(label for axis, label in trial.labels.items() if axis != AXIS), []).append(trial)
    going: set[str] = set()
    for kind in kinds.values():
        ranked = sorted(kind, key=lambda trial: -scores[trial.key])
        going |= {trial.key for trial in ranked[: search.going(len(kind))]}
    return [trial for trial in trials if trial.key in going]
