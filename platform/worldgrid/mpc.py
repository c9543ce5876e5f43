"""Closed loop for a batch of episodes: look, plan, act, look again. B episodes, S steps, X state, a action."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from worldgrid.envs import Env, EnvSpec, Flags, Floats, Tasks
from worldgrid.noise import Noise
from worldgrid.objectives import ObjectiveSpec
from worldgrid.planners import Plan, PlannerSpec, PlanningError, Problem
from worldgrid.predictors import Latent
from worldgrid.spec import JSON, Spec
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
    precision: Literal["float32", "bfloat16"] = "float32"
    """What imagined futures are computed in (study: float32, although it trains in bfloat16)."""
    memory: int | None = Field(default=None, ge=1)
    """MiB that futures imagined at once may take; null: what fits a CPU's cache, half of what a GPU has free. Moves
    the last bits of results, as `compile` does."""
    compile: bool = False
    """Let torch compile the predictor's blocks: faster plans after a minute or more for each new size."""

    warm_start: bool = False
    """Begin a search at what the plan before left over, not at the mean action (study: false)."""

    @model_validator(mode="after")
    def _plans_what_it_executes(self) -> MPC:
        if self.execute > self.horizon:
            raise ValueError(f"execute <= horizon fits; execute is {self.execute}, horizon {self.horizon}")
        if self.warm_start and self.execute == self.horizon:
            raise ValueError(f"warm_start with execute < horizon fits; both are {self.horizon}: a plan leaves nothing")
        return self

    def recipe(self) -> JSON:
        """A cold start goes without saying, as before there was another: what was played then keeps its keys."""
        return {name: value for name, value in super().recipe().items() if name != "warm_start" or value}


@dataclass(frozen=True)
class EpisodeResult:
    """One played episode: a function of the recipe alone."""

    episode: int
    seed: int
    """The task's name: its start and goal were drawn from it."""
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
    tasks: Tasks,
    turn: AbstractContextManager[None] | None = None,
) -> list[EpisodeResult]:
    """Play `episodes`, whose `tasks` these are, as one batch; the noise of each depends on (seed, episode) alone.

    `turn` is entered whenever the networks are used: batches played in threads can take turns at them, so that the
    simulators of one step while another plans. It changes no result.
    """
    record, turn = _Record(), turn or nullcontext()
    with closing(env.begin(tasks)) as batch:
        wanted = batch.goal
        with turn:
            goal = world_model.look(wanted)
        record.see(batch)
        while (left := mpc.steps - len(record.actions)) > 0:
            seen = batch.observe()
            with turn:
                start = world_model.look(seen)
                horizon = min(mpc.horizon, -(-left // env.frameskip))  # what is left, rounded up
                problem = Problem(
                    cost=world_model.cost(start, goal, objective),
                    horizon=horizon,
                    action=env.frameskip * env.action_dim,
                    noise=Noise(seed, episodes, replan=len(record.plans)),
                    device=start.visual.device,
                    begin=_begin(record.plans, mpc, horizon),
                )
                try:
                    plan = planner.plan(problem)
                except PlanningError as error:
                    raise PlanningError(f"{_culprit(start, goal)}: {error}") from None
            record.plans.append(plan)
            for actions in _simulator_actions(plan, mpc.execute, world_model, env)[:left]:
                batch.step(actions.astype(np.float64))
                record.actions.append(actions)
                record.see(batch)
        goals = batch.goal.state
    return [_result(record, row, episode, tasks.seeds[row], goals[row]) for row, episode in enumerate(episodes)]


def _culprit(start: Latent, goal: Latent) -> str:
    """The section of the recipe whose numbers are the first that are not finite."""
    encoded = [part for latent in (start, goal) for part in latent if part is not None]
    return "predictor" if all(bool(part.isfinite().all()) for part in encoded) else "encoder"


def _begin(plans: Sequence[Plan], mpc: MPC, horizon: int) -> Tensor | None:
    """What the last plan left over, `[B, H, A]`, with the mean action after its end; None: a cold start."""
    if not (mpc.warm_start and plans):
        return None
    rest = plans[-1].actions[:, mpc.execute : mpc.execute + horizon]
    return pad(rest, (0, 0, 0, horizon - rest.shape[1]))


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
