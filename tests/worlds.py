"""Worlds small enough for tests: env `point` with the predictor that knows it exactly, in our real formats."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from worldgrid.experiment import Experiment
from worldgrid.predictors import Shapes
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trained import Facts, checkpoint_name
from worldgrid.world_model import Normalisation

EXACT: dict[str, Any] = {
    "env": {"kind": "point", "size": 16},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "point", "context": 1, "action_std": [0.05, 0.05]},
    "planner": {"kind": "cem", "samples": 32, "iterations": 4, "elites": 8},
    "train": {"epochs": 1},
    "mpc": {"horizon": 2, "execute": 1, "steps": 10, "context": 1},
    "evaluate": {"episodes": 24, "batch": 4, "seed": 3},
}


def exact_evaluation(store: Store, **changes: Any) -> Step:
    """An evaluation of the exact predictor, whose `training` (nothing to learn) lies finished in the store."""
    experiment = Experiment.parse(EXACT | changes)
    evaluation = experiment.evaluations()[-1]
    train = evaluation.step.inputs["train"]
    folder = store.workspace(train.key)
    save_file({}, folder / checkpoint_name(evaluation.epoch))
    exact = Normalisation(
        action_mean=(0.0, 0.0), action_std=(0.05, 0.05), proprio_mean=(0.0,) * 2, proprio_std=(1.0,) * 2
    )
    Facts(experiment.predictor, Shapes(patches=1, width=2, action=10, proprio=2), exact).write(folder)
    store.commit(train, {}, seconds=0.0, host={})
    return evaluation.step


def table_bytes(store: Store, step: Step) -> bytes:
    """The committed episode table, to compare to the bit."""
    return Path(store.folder(step.key) / "episodes.parquet").read_bytes()
