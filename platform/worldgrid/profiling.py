"""Profiling: where a plan's time goes, here and now, with random weights. B episodes, N candidates, H horizon.

Every part is timed by itself and counted as often as a plan needs it; of the rollouts one block of sequences is timed,
because a whole plan of the study's takes hours on a CPU. On a CPU time is CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

from worldgrid.envs import Observation
from worldgrid.experiment import Experiment
from worldgrid.noise import Noise, stream_seed
from worldgrid.planners import Problem
from worldgrid.predictors import Latent, Shapes
from worldgrid.spec import ConfigError
from worldgrid.world_model import Normalisation, WorldModel

ROUNDS = 3
"""How often a part is timed; the least counts, because nothing makes a computation faster than it is."""


T = TypeVar("T")


@dataclass(frozen=True)
class Profile:
    """One plan for B episodes."""

    episodes: int
    seconds: dict[str, float]
    """encode, rollout, cost, planner, simulator."""
    calls: int
    """Candidate sequences of all episodes."""
    block: tuple[int, int]
    """Episodes and candidates that are imagined at once."""
    flops: float
    """Of the rollouts, as torch counts products and attention."""
    matmul: float
    """FLOP per second of a matrix product of the size that the rollouts' are."""
    device: str

    @property
    def calls_per_second(self) -> float:
        """Candidate sequences imagined and priced per second of planning, the simulator left out."""
        return self.calls / (sum(self.seconds.values()) - self.seconds["simulator"])

    @property
    def share(self) -> float:
        """What the rollouts reach of the measured matrix product."""
        return self.flops / self.seconds["rollout"] / self.matmul


@dataclass
class _Asked:
    """What a planner asks of its cost, which here is free."""

    shapes: list[torch.Size] = field(default_factory=list)
    gradient: bool = False

    def __call__(self, actions: Tensor) -> Tensor:
        self.shapes.append(actions.shape)
        self.gradient = actions.requires_grad
        return actions.square().mean(dim=(2, 3))


def profile(experiment: Experiment, device: torch.device) -> Profile:
    """Time the first plan of the experiment's first chunk of episodes. Raises ConfigError for imported predictors."""
    env, mpc, episodes = experiment.env, experiment.mpc, min(experiment.evaluate.batch, experiment.evaluate.episodes)
    world_model = _world_model(experiment, device)
    seconds: dict[str, float] = {}
    with closing(env.tasks([stream_seed("task", 0, episode) for episode in range(episodes)])) as batch:
        observation = batch.observe()
        start, seconds["encode"] = _timed(lambda: world_model.look(observation), device)
        actions = np.zeros((episodes, env.action_dim))

        def execute() -> Observation:
            for _ in range(min(mpc.execute * env.frameskip, mpc.steps)):
                batch.step(actions)
            return batch.observe()

        _, seconds["simulator"] = _timed(execute, device, rounds=1)
    asked, noise = _Asked(), Noise(0, range(episodes), 0)
    horizon = min(mpc.horizon, -(-mpc.steps // env.frameskip))
    problem = Problem(asked, horizon, env.frameskip * env.action_dim, noise)
    _, seconds["planner"] = _timed(lambda: experiment.planner.plan(problem), device, rounds=1)
    times = sum(shape[1] for shape in asked.shapes) * episodes
    block, (seconds["rollout"], seconds["cost"]), flops, matmul = _rollouts(experiment, world_model, start, asked)
    sequences = block[0] * block[1]
    for part in ("rollout", "cost"):
        seconds[part] *= times / sequences
    ordered = {name: seconds[name] for name in ("encode", "rollout", "cost", "planner", "simulator")}
    return Profile(episodes, ordered, times, block, flops * times / sequences, matmul, str(device))


def _rollouts(
    experiment: Experiment, world_model: WorldModel, start: Latent, asked: _Asked
) -> tuple[tuple[int, int], tuple[float, float], float, float]:
    """One block: its size, seconds of its rollout and of its cost, its FLOPs, and the matrix product it is held to."""
    device, (episodes, candidates, *sequence) = start.visual.device, asked.shapes[0]
    block = world_model.block((episodes, candidates), sequence[0], history=asked.gradient)
    start, actions = start.map(lambda z: z[: block[0]]), torch.randn(*block, *sequence)
    flops = _flops(world_model, start, actions, gradient=asked.gradient)
    cost = world_model.cost(start, start, experiment.objective)

    def whole() -> Tensor:
        if not asked.gradient:
            return cost(actions)
        chosen = actions.clone().requires_grad_()
        return torch.autograd.grad(cost(chosen).sum(), chosen)[0]

    future = world_model.imagine(start, actions).map(lambda z: z.flatten(0, 1))
    goals = start.repeat(block[1])
    _, total = _timed(whole, device)
    _, priced = _timed(lambda: experiment.objective.distance(future, goals), device)
    tokens = block[0] * block[1] * world_model.context * start.visual.shape[2]
    width = experiment.predictor.recipe().get("width") or start.visual.shape[3]
    return block, (total - priced, priced), flops, _matmul(tokens, width, device, world_model.precision)


def _flops(world_model: WorldModel, start: Latent, actions: Tensor, *, gradient: bool) -> float:
    """Of one block, before anything is compiled: what is, is not counted."""
    chosen = actions.to(start.visual.device).requires_grad_(gradient)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(gradient):
        future = world_model.predictor.imagine(start, chosen, world_model.context)
        if gradient:
            torch.autograd.grad(future.visual.sum(), chosen)
    return float(counter.get_total_flops())


def _world_model(experiment: Experiment, device: torch.device) -> WorldModel:
    if experiment.predictor.imported is not None:
        raise ConfigError("predictor: given an imported one; a transformer with its settings fits a profile")
    env, mpc = experiment.env, experiment.mpc
    encoder = experiment.encoder.build(env)
    shapes = Shapes(encoder.patches, encoder.width, env.frameskip * env.action_dim, env.proprio_dim)
    predictor = experiment.predictor.build(shapes)
    identity = Normalisation(
        action_mean=(0.0,) * env.action_dim,
        action_std=(1.0,) * env.action_dim,
        proprio_mean=(0.0,) * env.proprio_dim,
        proprio_std=(1.0,) * env.proprio_dim,
    )
    return WorldModel(
        encoder.to(device),
        predictor.to(device),
        identity,
        context=mpc.context,
        memory=mpc.memory,
        precision=mpc.precision,
        compiled=mpc.compile,
    )


def _timed(work: Callable[[], T], device: torch.device, rounds: int = ROUNDS) -> tuple[T, float]:
    """What the work gives and the least seconds it took; several rounds begin with one that warms up."""
    best, done = float("inf"), work() if rounds > 1 else None
    for _ in range(rounds):
        began = _now(device)
        done = work()
        best = min(best, _now(device) - began)
    assert done is not None
    return done, max(best, 1e-9)


def _now(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _matmul(tokens: int, width: int, device: torch.device, precision: str) -> float:
    """FLOP per second of the first layer of an MLP, 4 times as wide as its input, in what rollouts are computed in."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    inputs, weight = (torch.randn(rows, width, device=device, dtype=kind) for rows in (tokens, 4 * width))
    _, seconds = _timed(lambda: linear(inputs, weight), device, rounds=5 * ROUNDS)
    return 8.0 * tokens * width * width / seconds
