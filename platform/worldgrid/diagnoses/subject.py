"""The subject of diagnoses: a finished trial, its first episodes and a plan of each.

B episodes, N candidates, H horizon, A model action, a simulator action, X state, P patches, D latent.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgrid.decoder import Decoder
from worldgrid.envs import Floats, Observation, Tasks
from worldgrid.experiment import Evaluation, Experiment
from worldgrid.noise import Noise
from worldgrid.planners import Cost, Plan, Problem
from worldgrid.predictors import Latent
from worldgrid.results import Trial, read_recordings
from worldgrid.spec import ConfigError
from worldgrid.stages.evaluate import load_world_model
from worldgrid.stages.tasks import read_tasks
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.training import Clips, Data, read_data
from worldgrid.trajectories import Trajectories
from worldgrid.world_model import WorldModel

ELITES = 10
"""Cheapest candidates of an iteration whose costs and spread are watched (study: CEM's elites)."""
CLIPS = 64
"""Held-out clips that a predictor is measured on, at most."""
SIDE_BY_SIDE = 16
"""Episodes simulated at once; results do not depend on it."""


class Watched:
    """A cost that remembers, call by call, how cheap and how far apart a planner's candidates were."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, actions: Tensor) -> Tensor:
        """`[B, N, H, A]` -> `[B, N]`, unchanged."""
        costs = self._cost(actions)
        finite = costs.detach().nan_to_num(nan=torch.inf)
        elites = finite.topk(min(ELITES, finite.shape[1]), dim=1, largest=False).values.mean(dim=1)
        spread = actions.detach().std(dim=1, correction=0).mean(dim=(1, 2))
        self._seen.append((elites.cpu(), spread.cpu()))
        return costs

    @property
    def elites(self) -> Tensor:
        """`[B, iterations]` mean cost of the cheapest candidates."""
        return torch.stack([elites for elites, _ in self._seen], dim=1)

    @property
    def spreads(self) -> Tensor:
        """`[B, iterations]` standard deviation between candidates, mean over the numbers of a plan."""
        return torch.stack([spread for _, spread in self._seen], dim=1)


@dataclass(frozen=True)
class Future:
    """Where action sequences lead in the simulator, seen at every model step."""

    states: Floats
    """`[n, H + 1, X]`, the start first."""
    distances: Floats
    """`[n, H + 1]` to the goal, in the env's unit."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A trial with everything diagnoses ask for, computed when it is asked for first."""

    trial: Trial
    store: Store
    experiment: Experiment
    evaluation: Step
    """Of the checkpoint that is looked at."""
    world_model: WorldModel
    episodes: range
    """B of the evaluation's episodes, from the first on."""
    decoder: Decoder | None
    plan: int = 0
    """Which plan of each episode; 0 is the first, later ones begin where the played episodes were."""

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.world_model.predictor.parameters(), torch.empty(0)).device

    @cached_property
    def _drawn(self) -> Tasks:
        return read_tasks(self.store.folder(self.evaluation.inputs["tasks"].key), self.episodes)

    @cached_property
    def tasks(self) -> Tasks:
        """Where the plans begin, and the goals of the episodes."""
        return replace(self._drawn, starts=self.played[:, self.begin]) if self.plan else self._drawn

    @cached_property
    def played(self) -> Floats:
        """`[B, S + 1, X]` states of the episodes as they went; raises ConfigError before they were played."""
        there = {one.episode: one for one in read_recordings(self.store, self.evaluation.key)}
        if not all(episode in there for episode in self.episodes):
            raise ConfigError(f"episodes {self.episodes.start} to {self.episodes.stop - 1} were not played yet")
        return np.stack([there[episode].states for episode in self.episodes])

    @property
    def begin(self) -> int:
        """Simulator steps before the plans."""
        return self.plan * self.experiment.mpc.execute * self.experiment.env.frameskip

    def measure(self, states: Floats) -> Floats:
        """`[B, T, X]` states of the episodes -> `[B, T]` true distances to their goals, in the env's unit."""
        with closing(self.experiment.env.begin(self._drawn)) as batch:
            found = []
            for time in range(states.shape[1]):
                batch.restore(states[:, time])
                found.append(batch.distance().copy())
        return np.stack(found, axis=1)

    @cached_property
    def _seen(self) -> tuple[Observation, Observation]:
        with closing(self.experiment.env.begin(self.tasks)) as batch:
            return batch.observe(), batch.goal

    @cached_property
    def start(self) -> Latent:
        """`[B, 1, ...]`."""
        return self.world_model.look(self._seen[0])

    @cached_property
    def goal(self) -> Latent:
        """`[B, 1, ...]`."""
        return self.world_model.look(self._seen[1])

    @cached_property
    def horizon(self) -> int:
        """H: model steps of the plans."""
        mpc, skip = self.experiment.mpc, self.experiment.env.frameskip
        return min(mpc.horizon, -(-(mpc.steps - self.begin) // skip))

    def problem(self, cost: Cost, episodes: range) -> Problem:
        """What the plans of these episodes solve, under `cost`, with the noise they were made with; a cold start."""
        action = self.experiment.env.frameskip * self.experiment.env.action_dim
        noise = Noise(self.experiment.evaluate.seed, episodes, self.plan)
        return Problem(cost, self.horizon, action, noise, self.device)

    @cached_property
    def search(self) -> tuple[Plan, Watched]:
        """The plan of each episode, made again as it was made, and what its cost remembers."""
        watched = Watched(self.cost_of(slice(None)))
        return self.experiment.planner.plan(self.problem(watched, self.episodes)), watched

    @cached_property
    def future(self) -> Future:
        """Where the plans lead: `n` = B."""
        return self.execute(np.arange(len(self.episodes)), self.search[0].actions)

    @cached_property
    def imagined(self) -> Latent:
        """`[B, H, ...]` where the world model says that the plans lead."""
        return self.world_model.imagine(self.start, self.search[0].actions[:, None]).map(lambda z: z[:, 0])

    def cost_of(self, rows: slice) -> Cost:
        """What the plans of some episodes minimise."""
        start, goal = (latent.map(lambda z: z[rows]) for latent in (self.start, self.goal))
        return self.world_model.cost(start, goal, self.experiment.objective)

    def distances(self, latents: Latent, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """`[n]` objective of `[n, 1, ...]` frames to the goals of the episodes in `rows`."""
        goals = self.goal.map(lambda z: z[torch.from_numpy(rows)])
        found: NDArray[np.float64] = self.experiment.objective.distance(latents, goals).cpu().double().numpy()
        return found

    def execute(self, rows: NDArray[np.int64], actions: Tensor) -> Future:
        """Simulate `[n, H, A]` standardised actions from the starts of the episodes in `rows`."""
        parts = [
            self._simulate(rows[at : at + SIDE_BY_SIDE], actions[at : at + SIDE_BY_SIDE])
            for at in range(0, len(rows), SIDE_BY_SIDE)
        ]
        return Future(np.concatenate([one.states for one in parts]), np.concatenate([one.distances for one in parts]))

    def _simulate(self, rows: NDArray[np.int64], actions: Tensor) -> Future:
        env = self.experiment.env
        steps = self.world_model.normalisation.restore_actions(actions.cpu()).double().numpy()
        steps = steps.reshape(len(rows), -1, env.action_dim)
        chosen = Tasks([self.tasks.seeds[row] for row in rows], self.tasks.starts[rows], self.tasks.goals[rows])
        with closing(env.begin(chosen)) as batch:
            states, distances = [batch.state().copy()], [batch.distance().copy()]
            for time in range(steps.shape[1]):
                batch.step(steps[:, time])
                if (time + 1) % env.frameskip == 0:
                    states.append(batch.state().copy())
                    distances.append(batch.distance().copy())
        return Future(np.stack(states, axis=1), np.stack(distances, axis=1))

    def look(self, states: Floats) -> Latent:
        """`[n, X]` states -> `[n, 1, ...]`: their frames, encoded. Proprioception is what an env shows of a state."""
        parts = [states[at : at + SIDE_BY_SIDE] for at in range(0, len(states), SIDE_BY_SIDE)]
        seen = [self.world_model.look(self._observe(part)) for part in parts]
        visual = torch.cat([one.visual for one in seen])
        proprio = [one.proprio for one in seen if one.proprio is not None]
        return Latent(visual, torch.cat(proprio) if proprio else None)

    def _observe(self, states: Floats) -> Observation:
        seeds = [self.tasks.seeds[0]] * len(states)
        with closing(self.experiment.env.begin(Tasks(seeds, states, states))) as batch:
            return batch.observe()

    @cached_property
    def data(self) -> Data:
        """The clips the predictor was trained and validated on; raises ConfigError where they are not in the store."""
        train = self.evaluation.inputs["train"]
        latents = train.inputs.get("latents")
        if latents is None or not self.store.done(latents.key):
            raise ConfigError(f"the encoded data of {train.key} are not in this store")
        return read_data(train.config, self.store.folder(latents.key), self.experiment.train)[0]

    @cached_property
    def clips(self) -> Clips:
        """Held-out clips of `data.horizon` + 1 frames or more, standardised, on the networks' device."""
        return self.data.batch(self.data.validation[:CLIPS], self.data.validation_frames, self.device)

    @cached_property
    def clip(self) -> Latent:
        """The same clips as the predictor reads them."""
        with torch.no_grad():
            return Latent(self.clips.latents, self.world_model.predictor.embed(self.clips.proprio))

    @cached_property
    def recordings(self) -> Trajectories:
        """Where the clips' frames are."""
        return Trajectories(self.store.folder(self.experiment.latents().inputs["trajectories"].key))


def open_subject(
    store: Store,
    trial: Trial,
    episodes: int,
    *,
    epoch: int | None = None,
    plan: int = 0,
    decoder: Callable[[Step], Decoder | None] = lambda latents: None,
) -> Subject:
    """A trial of a store with its first episodes; `decoder` finds one for the step of its encoded data.

    Raises ConfigError where its checkpoint or tasks are not there, or its recipe is not this version's.
    """
    experiment = Experiment.parse(trial.settings)
    found, mpc = _evaluation(experiment, trial, epoch), experiment.mpc
    plans = -(-mpc.steps // (mpc.execute * experiment.env.frameskip))
    if not 0 <= plan < plans:
        raise ConfigError(f"plan {plan}: the episodes of trial {trial.key} have {plans}, 0 to {plans - 1}")
    for name in ("train", "tasks", "weights"):
        needed = found.step.inputs.get(name)
        if needed and not store.done(needed.key):
            raise ConfigError(
                f"trial {trial.key}: its step {needed.key} is not finished; `worldgrid run` its grid first"
            )
    world_model = load_world_model(found.step, store)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for network in (world_model.encoder, world_model.predictor):
        network.to(device)
    there = range(min(episodes, experiment.evaluate.episodes))
    drawn = decoder(experiment.latents())
    return Subject(trial, store, experiment, found.step, world_model, there, drawn, plan)


def _evaluation(experiment: Experiment, trial: Trial, epoch: int | None) -> Evaluation:
    there = {one.epoch: one for one in experiment.evaluations()}
    keys = {one.epoch: one.key for one in trial.evaluations}
    wanted = trial.final.epoch if epoch is None else epoch
    if wanted not in there or wanted not in keys:
        raise ConfigError(f"epoch {wanted}: trial {trial.key} evaluates {', '.join(map(str, keys))}")
    if there[wanted].step.key != keys[wanted]:
        raise ConfigError(
            f"trial {trial.key} was run by another version of worldgrid ({keys[wanted]} is {there[wanted].step.key} "
            "now); run its grid again"
        )
    return there[wanted]
