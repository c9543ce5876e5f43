"""How a number came about and how to make it again: the command, the machine, the versions, the commit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from worldgrid.results import Grid, Trial
from worldgrid.spec import JSON
from worldgrid.step import canonical
from worldgrid.store import Store


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
        for name, value in _flat(done.host) if done else ():
            found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in found.items()}


def _flat(facts: JSON, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)
