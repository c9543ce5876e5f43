"""Sizes: bytes that a step takes in a store, known before anything runs, and the room there is. P patches, D latent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from worldgrid import flops
from worldgrid.encoders import ENCODERS
from worldgrid.envs import ENVS, EnvSpec
from worldgrid.flops import Tokens
from worldgrid.predictors import PREDICTORS, Shapes
from worldgrid.spec import JSON, parse
from worldgrid.stages.collect import Collect, Ingested
from worldgrid.step import Step, canonical
from worldgrid.store import Store
from worldgrid.training import Train

FLOAT = 4
"""Bytes of a number of a weight, a proprioception or an action."""
STATE = 8
"""Bytes of a number of a simulator's state."""


def step_bytes(step: Step, store: Store) -> int:
    """What a step takes: as it lies in the store, or at most that, for how well frames compress is not known before.

    Of evaluations what is recorded of every episode, without videos; 0 for stages that leave a few numbers.
    """
    if store.done(step.key):
        return store.size(step.key)
    writes = _WRITES.get(step.stage)
    return writes(step, store) if writes else 0


def _collect(step: Step, store: Store) -> int:
    if "env" not in step.config:
        return 0
    env, keep = ENVS.parse(step.config["env"]), int(step.config["collect"]["keep"])
    pixels: int = 3 * env.size**2
    return frames(step, store) * (pixels + _controls(env, keep))


def _pretrain(step: Step, store: Store) -> int:
    return FLOAT * tokens(step).parameters


def _encode(step: Step, store: Store) -> int:
    source, made = step.inputs["trajectories"], tokens(step)
    latent: int = np.dtype(step.config["encode"]["dtype"]).itemsize * made.patches * made.width
    keep = int(source.config["collect"].get("keep", Ingested.keep))
    return frames(source, store) * (latent + _controls(ENVS.parse(step.config["env"]), keep))


def _train(step: Step, store: Store) -> int:
    if "latents" not in step.inputs:
        return 0
    return FLOAT * predictor_parameters(step) * len(parse(Train, step.config["train"], "train").published())


def _evaluate(step: Step, store: Store) -> int:
    env, steps, episodes = (
        ENVS.parse(step.config["env"]),
        step.config["mpc"]["steps"],
        step.config["evaluate"]["episodes"],
    )
    return int(steps) * int(episodes) * (STATE * env.state_dim + FLOAT * env.action_dim)


def _controls(env: EnvSpec, keep: int) -> int:
    """Of a frame, beside its picture or latent."""
    return FLOAT * (env.proprio_dim + env.action_dim * keep) + STATE * env.state_dim


_WRITES: dict[str, Callable[[Step, Store], int]] = {
    "collect": _collect,
    "pretrain": _pretrain,
    "encode": _encode,
    "train": _train,
    "evaluate": _evaluate,
}


def frames(trajectories: Step, store: Store) -> int:
    """Frames of a `collect` step; of an ingested one that is not in the store, none."""
    if done := store.done(trajectories.key):
        return int(done.metrics["frames"])
    if "env" not in trajectories.config:
        return 0
    collect = parse(Collect, trajectories.config["collect"], "collect")
    return collect.episodes * (collect.steps // collect.keep + 1)


def tokens(step: Step) -> Tokens:
    """What the encoder of a step makes of a frame of its env."""
    return _tokens(canonical(step.config["encoder"]), canonical(step.config["env"]))


@lru_cache(maxsize=256)
def _tokens(encoder: str, env: str) -> Tokens:
    return flops.tokens(ENCODERS.parse(json.loads(encoder)), ENVS.parse(json.loads(env)))


def predictor_parameters(step: Step) -> int:
    """Weights of the predictor that a `train` step fits."""
    env, made = ENVS.parse(step.config["env"]), tokens(step.inputs["latents"])
    shapes = Shapes(made.patches, made.width, env.frameskip * env.action_dim, env.proprio_dim)
    return _parameters(canonical(step.config["predictor"]), shapes)


@lru_cache(maxsize=1024)
def _parameters(predictor: str, shapes: Shapes) -> int:
    section: JSON = json.loads(predictor)
    with torch.device("meta"):  # shapes alone
        return sum(weight.numel() for weight in PREDICTORS.parse(section).build(shapes).parameters())


def room(store: Store) -> int:
    """Free bytes of the disk that a store is, or will be, on."""
    return shutil.disk_usage(next(path for path in (store.root, *store.root.parents) if path.exists())).free
