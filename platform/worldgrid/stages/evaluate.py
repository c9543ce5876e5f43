"""Evaluate: play planning episodes chunk by chunk. A chunk's file is a function of the step and the chunk alone.

B episodes of a chunk are planned as one batch; the chunk size belongs to the recipe, so tensor shapes, and with them
the last bits of every sum, do not depend on how many workers there are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from pydantic import Field

from worldgrid.envs import ENVS, Goals
from worldgrid.ledger import write_chunk
from worldgrid.mpc import MPC, play
from worldgrid.objectives import OBJECTIVES
from worldgrid.planners import PLANNERS
from worldgrid.predictors import Shapes
from worldgrid.spec import JSON, Spec, parse
from worldgrid.stages.encode import load_encoder
from worldgrid.stages.tasks import read_tasks
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trained import load_predictor
from worldgrid.world_model import WorldModel

VERSION = 1


class Evaluate(Spec):
    """Settings of an evaluation."""

    episodes: int = Field(default=96, ge=1)
    """Start/goal pairs (paper: 96; 64 on DROID, 32 on RoboCasa)."""
    seed: int = Field(default=1, ge=0)
    """Names the start/goal pairs and the planner's noise (paper: 1)."""
    goals: Goals = "random_state"
    """Where goals come from (paper: `random_state` on Wall, PointMaze; `expert` on Metaworld; `dataset` on Push-T)."""
    batch: int = Field(default=16, ge=1)
    """Episodes planned as one batch: the pool's unit of work."""
    epochs: int = Field(default=1, ge=1)
    """How many of the last checkpoints are evaluated (the paper pools 10)."""


def load_world_model(step: Step, store: Store) -> WorldModel:
    """The frozen world model that an evaluation plans with, in eval mode on the CPU.

    Raises ConfigError where an imported predictor was made for another env or encoder.
    """
    env, train, weights = ENVS.parse(step.config["env"]), step.inputs["train"], step.inputs.get("weights")
    encoder = load_encoder(step, store.folder(weights.key) if weights else None)
    predictor, facts = load_predictor(store.folder(train.key), step.config["epoch"])
    there = Shapes(encoder.patches, encoder.width, env.frameskip * env.action_dim, env.proprio_dim)
    mpc = parse(MPC, step.config["mpc"], "mpc")
    return WorldModel(
        encoder,
        predictor,
        facts.fit(there, train.key),
        context=mpc.context,
        memory=mpc.memory,
        precision=mpc.precision,
        compiled=mpc.compile,
    )


def play_chunk(
    step: Step, world_model: WorldModel, chunk: range, store: Store, turn: AbstractContextManager[None] | None = None
) -> JSON:
    """Play a chunk's episodes and write its file; playing it twice changes nothing. `turn`: see `mpc.play`."""
    torch.set_num_threads(1)
    results = play(
        env=ENVS.parse(step.config["env"]),
        world_model=world_model,
        objective=OBJECTIVES.parse(step.config["objective"]),
        planner=PLANNERS.parse(step.config["planner"]),
        mpc=parse(MPC, step.config["mpc"], "mpc"),
        seed=step.config["evaluate"]["seed"],
        episodes=chunk,
        tasks=read_tasks(store.folder(step.inputs["tasks"].key), chunk),
        turn=turn,
    )
    write_chunk(store.workspace(step.key), chunk, [vars(result) for result in results])
    return {"episodes": len(results), "successes": sum(result.success for result in results)}
