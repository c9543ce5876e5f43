"""A grid of one trial whose predictor learned nothing, finished but for its episodes: enough to inspect it."""

import json
from pathlib import Path
from typing import Any

from tests.worlds import UNTRAINED, untrained_evaluation
from worldgrid.experiment import Experiment
from worldgrid.grid import read_grid
from worldgrid.scale import Scale
from worldgrid.stages import Job, stage
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.sweep import write_record

WALL: dict[str, Any] = {
    "env": {"kind": "wall", "size": 32},
    "encoder": {"kind": "pixels", "patch": 8},
    "collect": {"episodes": 30, "steps": 30, "keep": 5, "policy": {"kind": "drift"}},
    "train": {"epochs": 1, "batch": 16},
    "evaluate": {"episodes": 3, "batch": 3},
}
"""The smallest wall worth looking at."""


def ready(folder: Path, **changes: Any) -> tuple[Store, str]:
    """The store and the trial's key; its data are collected and encoded, its tasks drawn, its predictor drawn."""
    settings = UNTRAINED | WALL | changes
    file = folder / "tiny.yaml"
    file.write_text(f"# What is wrong with it?\nbase: {json.dumps(settings)}\n")
    grid, store = read_grid(file, ()), Store(folder / "store")
    store.prepare()
    write_record(store, grid)
    for step in Experiment.parse(settings).latents().walk():
        run(store, step)
    untrained_evaluation(store, **WALL | changes)
    return store, grid.trials[0].key


def run(store: Store, step: Step) -> None:
    """Run a step here and commit it."""
    store.commit(step, stage(step.stage)(Job.open(step, store, Scale())), seconds=0.0, host={})
