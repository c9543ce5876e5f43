"""Workload: how much a step computes, from its settings alone."""

from __future__ import annotations

from dataclasses import dataclass

from worldgrid.flops import forward
from worldgrid.planners import PLANNERS
from worldgrid.predictors import PREDICTORS
from worldgrid.sizes import frames, tokens
from worldgrid.spec import parse
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.training import Train

BACKWARD = 3.0
"""FLOPs of a forward and a backward pass, in forward passes."""
GRADIENT = frozenset({"adam", "gd"})
"""Planners that go backward through the rollout."""


@dataclass(frozen=True)
class Work:
    """How much a step computes."""

    flops: float
    """Of its networks."""
    units: float
    """Simulator steps where a stage plays, frames or clips elsewhere: what its time is measured in without FLOPs."""

    @property
    def measure(self) -> float:
        """What its time is proportional to."""
        return self.flops or self.units


def work(step: Step, store: Store) -> Work:
    """How much a step computes, from its settings; nothing for what came from outside."""
    stages = {"collect": _collecting, "pretrain": _pretraining, "encode": _encoding, "train": _training}
    if step.stage == "tasks":
        return Work(0.0, float(step.config["tasks"]["episodes"]) * step.config["steps"])
    return _evaluation(step) if step.stage == "evaluate" else stages[step.stage](step, store)


def _collecting(step: Step, store: Store) -> Work:
    collect = step.config["collect"]
    return Work(0.0, float(collect["episodes"]) * collect["steps"] if "env" in step.config else 0.0)


def _pretraining(step: Step, store: Store) -> Work:
    pairs = float(step.config["pretrain"]["steps"]) * step.config["pretrain"]["batch"]
    return Work(2 * pairs * BACKWARD * tokens(step).flops, pairs)


def _encoding(step: Step, store: Store) -> Work:
    seen = frames(step.inputs["trajectories"], store)
    return Work(seen * tokens(step).flops, seen)


def _training(step: Step, store: Store) -> Work:
    if "latents" not in step.inputs:
        return Work(0.0, 0.0)
    latents, config = step.inputs["latents"], step.config
    source, made = latents.inputs["trajectories"], tokens(latents)
    settings = parse(Train, config["train"], "train")
    predictor = PREDICTORS.parse(config["predictor"])
    clip = settings.clip_frames(predictor.context)
    collect = source.config["collect"]
    keep = collect.get("keep", 1)
    span = (clip - 1) * (config["env"]["frameskip"] // keep)
    recorded, trajectories = frames(source, store), collect.get("episodes", 1)
    clips = settings.fraction * max(recorded - trajectories * span, 0)
    per_epoch = settings.epoch_steps or int(clips) // settings.batch
    seen = float(settings.epochs) * per_epoch * settings.batch
    once = forward(predictor, made.patches, made.width, min(clip - 1, predictor.context))
    return Work(seen * BACKWARD * once * settings.rollout, seen)


def _evaluation(step: Step) -> Work:
    config, train = step.config, step.inputs["train"]
    predictor, made = PREDICTORS.parse(train.config["predictor"]), tokens(step)
    planner, mpc = PLANNERS.parse(config["planner"]), config["mpc"]
    episodes, skip = config["evaluate"]["episodes"], config["env"]["frameskip"]
    plans = -(-mpc["steps"] // (mpc["execute"] * skip))
    windows = [min(mpc["context"], 1 + step) for step in range(mpc["horizon"])]
    rollout = sum(forward(predictor, made.patches, made.width, window) for window in windows)
    passes = BACKWARD if planner.kind in GRADIENT else 1.0
    looks = (plans + 1) * made.flops
    return Work(episodes * (plans * planner.calls * passes * rollout + looks), float(episodes) * mpc["steps"])
