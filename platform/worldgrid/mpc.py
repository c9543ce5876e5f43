"""Closed loop for a batch of episodes: look, plan, act, look again. B episodes, S steps, X state, a action."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worldgrid.envs import Env, EnvSpec, Flags, Floats
from worldgrid.noise import Noise, stream_seed
from worldgrid.objectives import ObjectiveSpec
from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.spec import Spec
from worldgrid.world_model import WorldModel


class MPC(Spec):
    """How an episode is played. Defaults: the study on Push-T, PointMaze and Wall, one plan per episode."""

    horizon: int = Field(default=6, ge=1)
    """H: model steps of a plan (study: 6; 3 on DROID and RoboCasa)."""
    execute: int = Field(default=6, ge=1)
    """Model steps taken before looking and planning again (study: 6; Metaworld and DROID 3, RoboCasa 1)."""
    steps: int = Field(default=30, ge=1)
    """S: simulator steps of an episode (study: 30; Metaworld 100 with one before the first plan, RoboCasa 60)."""
    context: int = Field(default=2, ge=1)
    """Frames the predictor sees while planning; at most what it saw while training (study: 2)."""

    @model_validator(mode="after")
    def _plans_what_it_executes(self) -> MPC:
        if self.execute > self.horizon:
            raise ValueError(f"execute <= horizon fits; execute is {self.execute}, horizon {self.horizon}")
        return self


@dataclass(frozen=True)
class EpisodeResult:
    """One played episode: a function of the recipe alone."""

    episode: int
    seed: int
    """The env's seed: names start, goal and dynamics."""
    success: bool
    """On the last state; an episode does not stop early (as the study)."""
    ever_success: bool
    """On any state, the first included."""
    solved_at_start: bool
    distance: float
    """On the last state, in the env's unit."""
    start_distance: float
    plans: int
    calls: int
    """Candidate sequences evaluated."""
    rejected: int
    """How many of them had no finite cost."""
    first_costs: list[float]
    """The best cost of each plan's first iteration."""
    last_costs: list[float]
    """The best cost of each plan's last iteration."""
    states: Floats
    """`[S + 1, X]`."""
    actions: NDArray[np.float32]
    """`[S, a]` as sent to the simulator, in its units."""
    goal: Floats
    """`[X]` state of the goal."""


@dataclass
class _Record:
    """What happened to B episodes so far."""

    states: list[Floats] = field(default_factory=list)
    successes: list[Flags] = field(default_factory=list)
    distances: list[Floats] = field(default_factory=list)
    actions: list[NDArray[np.float32]] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    def see(self, batch: Env) -> None:
        self.states.append(batch.state().copy())
        self.successes.append(batch.success().copy())
        self.distances.append(batch.distance().copy())


def play(
    *,
    env: EnvSpec,
    world_model: WorldModel,
    objective: ObjectiveSpec,
    planner: PlannerSpec,
    mpc: MPC,
    seed: int,
    episodes: Sequence[int],
) -> list[EpisodeResult]:
    """Play `episodes` as one batch; start, goal and noise of each depend on (seed, episode) alone."""
    seeds = [stream_seed("task", seed, episode) for episode in episodes]
    record = _Record()
    with closing(env.tasks(seeds)) as batch:
        goal = world_model.look(batch.goal)
        record.see(batch)
        while (left := mpc.steps - len(record.actions)) > 0:
            problem = Problem(
                cost=world_model.cost(world_model.look(batch.observe()), goal, objective),
                horizon=min(mpc.horizon, -(-left // env.frameskip)),  # a last plan covers the steps left, rounded up
                action=env.frameskip * env.action_dim,
                noise=Noise(seed, episodes, replan=len(record.plans)),
            )
            plan = planner.plan(problem)
            record.plans.append(plan)
            for actions in _simulator_actions(plan, mpc.execute, world_model, env)[:left]:
                batch.step(actions.astype(np.float64))
                record.actions.append(actions)
                record.see(batch)
        goals = batch.goal.state
    return [_result(record, row, episode, seeds[row], goals[row]) for row, episode in enumerate(episodes)]


def _simulator_actions(plan: Plan, execute: int, world_model: WorldModel, env: EnvSpec) -> NDArray[np.float32]:
    """The first `execute` model actions of a plan as `[execute * frameskip, B, a]` in simulator units."""
    restored: NDArray[np.float32] = world_model.normalisation.restore_actions(plan.actions[:, :execute]).numpy()
    return restored.reshape(len(restored), -1, env.action_dim).swapaxes(0, 1)


def _result(record: _Record, row: int, episode: int, seed: int, goal: Floats) -> EpisodeResult:
    successes = [bool(success[row]) for success in record.successes]
    return EpisodeResult(
        episode=episode,
        seed=seed,
        success=successes[-1],
        ever_success=any(successes),
        solved_at_start=successes[0],
        distance=float(record.distances[-1][row]),
        start_distance=float(record.distances[0][row]),
        plans=len(record.plans),
        calls=sum(plan.calls for plan in record.plans),
        rejected=sum(int(plan.rejected[row]) for plan in record.plans),
        first_costs=[float(plan.costs[row, 0]) for plan in record.plans],
        last_costs=[float(plan.costs[row, -1]) for plan in record.plans],
        states=np.stack([state[row] for state in record.states]),
        actions=np.stack([action[row] for action in record.actions]),
        goal=goal,
    )
