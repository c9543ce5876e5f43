"""Worlds small enough for tests: env `point` with the predictor that knows it exactly, in our real formats."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from worldgrid.checkpoints import checkpoint_name
from worldgrid.experiment import Experiment
from worldgrid.ledger import chunks, finish
from worldgrid.predictors import Shapes
from worldgrid.scale import Scale
from worldgrid.stages import Job, tasks
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trained import Facts
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

SMALL: dict[str, Any] = {
    "env": {"kind": "point", "size": 16},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 32, "depth": 1, "heads": 2, "context": 1, "proprio": "none"},
    "collect": {"episodes": 100, "steps": 50, "keep": 5},
    "train": {"epochs": 2, "batch": 64, "frames": 3},
    "mpc": {"horizon": 2, "execute": 1, "steps": 10, "context": 1},
    "evaluate": {"episodes": 8, "batch": 4},
}
"""Something that is trained, in seconds."""


def exact_evaluation(store: Store, **changes: Any) -> Step:
    """An evaluation of the exact predictor; its training (nothing to learn) and its tasks lie finished in the store."""
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
    draw_tasks(store, evaluation.step)
    return evaluation.step


UNTRAINED: dict[str, Any] = {
    "encoder": {"kind": "pixels", "patch": 16},
    "predictor": {"kind": "transformer", "width": 32, "depth": 2, "heads": 4, "context": 2},
    "planner": {"kind": "cem", "samples": 16, "iterations": 2, "elites": 4},
    "train": {"epochs": 1},
    "collect": {"keep": 5, "steps": 50},
    "mpc": {"horizon": 3, "execute": 2, "steps": 20},
    "objective": {"proprio": 0.1},
}
"""A transformer that learned nothing: what it plans is worthless, and must be the same everywhere."""


def untrained_evaluation(store: Store, **changes: Any) -> Step:
    """An evaluation of a predictor with drawn weights; its training and its tasks lie finished in the store."""
    experiment = Experiment.parse(UNTRAINED | changes)
    evaluation = experiment.evaluations()[-1]
    train, env = evaluation.step.inputs["train"], experiment.env
    folder = store.workspace(train.key)
    encoder = experiment.encoder.build(env)
    shapes = Shapes(encoder.patches, encoder.width, env.frameskip * env.action_dim, env.proprio_dim)
    torch.manual_seed(0)
    save_file(experiment.predictor.build(shapes).state_dict(), folder / checkpoint_name(evaluation.epoch))
    plain = Normalisation(
        action_mean=(0.0,) * env.action_dim,
        action_std=(1.0,) * env.action_dim,
        proprio_mean=(0.0,) * env.proprio_dim,
        proprio_std=(1.0,) * env.proprio_dim,
    )
    Facts(experiment.predictor, shapes, plain).write(folder)
    store.commit(train, {}, seconds=0.0, host={})
    draw_tasks(store, evaluation.step)
    return evaluation.step


def play_alone(store: Store, step: Step) -> bytes:
    """The episode table as one process makes it, without Ray."""
    world_model = load_world_model(step, store)
    for chunk in chunks(step):
        play_chunk(step, world_model, chunk, store)
    finish(step, store.workspace(step.key))
    return table_bytes(store, step)


def draw_tasks(store: Store, evaluation: Step) -> None:
    """Leave the tasks of an evaluation in the store."""
    step = evaluation.inputs["tasks"]
    store.commit(step, tasks.run(Job.open(step, store, Scale())), seconds=0.0, host={})


def table_bytes(store: Store, step: Step) -> bytes:
    """The committed episode table, to compare to the bit."""
    return Path(store.folder(step.key) / "episodes.parquet").read_bytes()
