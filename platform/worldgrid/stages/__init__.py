"""Stages: folders in, one folder out. Each is a function of its step and its inputs; `scale` changes time alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from worldgrid.scale import Scale
from worldgrid.spec import JSON
from worldgrid.step import Step


@dataclass(frozen=True)
class Job:
    """One step to run here and now."""

    step: Step
    inputs: dict[str, Path]
    """Folders of the finished inputs, to read."""
    out: Path
    """The step's own folder, to write; may hold what an interrupted run left."""
    scale: Scale


Stage = Callable[[Job], JSON]
"""Runs a job and returns the metrics that go into `done.json`."""

STAGES: dict[str, str] = {
    "collect": "worldgrid.stages.collect:run",
    "pretrain": "worldgrid.stages.pretrain:run",
    "encode": "worldgrid.stages.encode:run",
    "train": "worldgrid.stages.train:run",
}
"""Stages that run as one task. `evaluate` is played chunk by chunk by the pool."""

COMPUTING = frozenset({"pretrain"})
"""Stages whose own task does the work and reserves the CPU; the others start tasks or workers of their own."""


def stage(name: str) -> Stage:
    """The function of a stage, imported now."""
    module, _, function = STAGES[name].partition(":")
    return cast(Stage, getattr(importlib.import_module(module), function))
