"""Stages: folders in, one folder out. Each is a function of its step and its inputs; `scale` changes time alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from worldgrid.scale import Scale
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import Store


class Folders(Mapping[str, Path]):
    """Name -> folder of a finished step, which is brought to the machine that asks for it."""

    def __init__(self, store: Store, keys: Mapping[str, str]) -> None:
        self._store = store
        self._keys = keys

    def __getitem__(self, name: str) -> Path:
        return self._store.folder(self._keys[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True)
class Job:
    """One step to run here and now."""

    step: Step
    inputs: Mapping[str, Path]
    """Folders of the finished inputs, to read, on whatever machine the job is."""
    out: Path
    """The step's own folder, to write; may hold what an interrupted run left."""
    scale: Scale

    @classmethod
    def open(cls, step: Step, store: Store, scale: Scale) -> Job:
        """The job of a step whose inputs are in the store."""
        keys = {name: needed.key for name, needed in step.inputs.items()}
        return cls(step, Folders(store, keys), store.workspace(step.key), scale)


Stage = Callable[[Job], JSON]
"""Runs a job and returns the metrics that go into `done.json`."""

STAGES: dict[str, str] = {
    "collect": "worldgrid.stages.collect:run",
    "pretrain": "worldgrid.stages.pretrain:run",
    "encode": "worldgrid.stages.encode:run",
    "tasks": "worldgrid.stages.tasks:run",
    "decode": "worldgrid.stages.decode:run",
}
"""Stages that run as one task. `train` is run by the trainers' worker groups, `evaluate` chunk by chunk by the pool."""

COMPUTING = frozenset({"pretrain", "tasks", "decode"})
"""Stages whose own task does the work and reserves the CPU; the others start tasks or workers of their own."""


def stage(name: str) -> Stage:
    """The function of a stage, imported now."""
    module, _, function = STAGES[name].partition(":")
    return cast(Stage, getattr(importlib.import_module(module), function))
