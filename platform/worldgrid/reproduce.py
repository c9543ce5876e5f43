"""How a number came about and how to make it again: the command, the machine, the versions, what it took."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from worldgrid.host import SPENT
from worldgrid.results import Grid, Trial
from worldgrid.spec import JSON
from worldgrid.step import canonical
from worldgrid.store import Done, Store


def grid_command(grid: Grid) -> str:
    """The command that makes all of a grid's numbers from its file."""
    return shlex.join(["worldgrid", "run", f"{grid.name}.yaml", *grid.overrides])


def trial_command(grid: Grid, trial: Trial) -> str:
    """The command that makes one trial's number: the grid's, with every axis that names a setting held at its value.

    An axis of labels (settings that move together) names no setting; the command runs all of its labels.
    """
    held = [f"{axis}={canonical(value)}" for axis in grid.axes if (value := _at(trial.settings, axis)) is not None]
    return shlex.join(["worldgrid", "run", f"{grid.name}.yaml", *grid.overrides, *held])


def _at(settings: JSON, path: str) -> object:
    value: object = settings
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def fingerprint(store: Store, trials: Iterable[Trial]) -> dict[str, list[str]]:
    """What the finished steps of some trials ran on: fact -> its distinct values."""
    keys = {key for trial in trials for key in [*trial.steps.values(), *(one.key for one in trial.evaluations)]}
    found: dict[str, set[str]] = {}
    for key in sorted(keys):
        done = store.done(key)
        facts = {name: value for name, value in done.host.items() if name != SPENT} if done else {}
        for name, value in _flat(facts):
            if value:
                found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in found.items()}


class Spent(NamedTuple):
    """What finished steps took, in the runs that finished them."""

    worker_seconds: float
    """Workers times seconds; chunks that a pool's worker played side by side share its time."""
    gpu_seconds: float
    """The same times the GPUs that each worker reserved."""

    @property
    def worker_hours(self) -> float:
        """In hours."""
        return self.worker_seconds / 3600

    @property
    def gpu_hours(self) -> float:
        """In hours."""
        return self.gpu_seconds / 3600


def spent(steps: Iterable[Done | None]) -> Spent | None:
    """What some steps took together, as far as it is known; None where it is known of none."""
    known = [Spent(**done.host[SPENT]) for done in steps if done and SPENT in done.host]
    if not known:
        return None
    return Spent(sum(one.worker_seconds for one in known), sum(one.gpu_seconds for one in known))


def spent_on(trial: Trial) -> Spent | None:
    """What a trial's training and evaluations took, whoever else shares them."""
    return spent([trial.trained, *(one.done for one in trial.evaluations)])


def _flat(facts: JSON, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)
