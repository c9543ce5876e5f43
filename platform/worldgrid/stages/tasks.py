"""Tasks: the starts and goals of an evaluation, drawn once for every trial that plays them, and how easy they are.

How many are solved before anything moves, and how many random actions solve, is measured here, in the simulator alone:
no frame is drawn. B tasks, X state, a action. Facts: paper, evaluation protocol; `goal_source` in the official code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from worldgrid.envs import ENVS, EnvSpec, Flags, Floats, Tasks
from worldgrid.noise import generator, stream_seed
from worldgrid.policies import POLICIES
from worldgrid.spec import JSON, ConfigError
from worldgrid.stages import Job
from worldgrid.step import canonical, digest
from worldgrid.store import write_whole
from worldgrid.training import Train
from worldgrid.trajectories import Trajectories, Trajectory

VERSION = 1
SCHEMA = 1
MANIFEST = "tasks.json"
FRAMES = "frames.npy"
"""`[B, 2, S, S, 3]` starts and goals as recorded; only where no simulator draws them."""
BATCH = 16
"""Tasks that are simulated side by side; results do not depend on it."""


def run(job: Job) -> JSON:
    """Draw the tasks, measure them, write the manifest."""
    config = job.step.config
    env, wanted, steps = ENVS.parse(config["env"]), config["tasks"], config["steps"]
    seeds = [stream_seed("task", wanted["seed"], episode) for episode in range(wanted["episodes"])]
    if wanted["goals"] == "dataset":
        tasks = recorded_tasks(env, Trajectories(job.inputs["trajectories"]), config["held"], seeds, steps)
    else:
        tasks = env.draw_tasks(seeds)
    solved, lucky = measure(env, tasks, wanted["seed"], steps)
    write_manifest(job.out, tasks, solved_at_start=solved, random_success=lucky)
    return {
        "episodes": len(seeds),
        "solved_at_start": float(solved.mean()),
        "random_success": float(lucky.mean()),
    }


def recorded_tasks(env: EnvSpec, source: Trajectories, held: JSON, seeds: Sequence[int], steps: int) -> Tasks:
    """Starts drawn from held-out trajectories, goals where their recorded actions lead in `steps` simulator steps.

    Without a simulator, goals are what was recorded there. `held` says which trajectories the training holds out.
    Raises ConfigError where none is long enough, or where the recorded states are not the simulator's.
    """
    picks = _picks(env, source, held, seeds, steps)
    if not env.simulated:
        return _clips(source, picks, seeds, steps)
    recorded, actions = _segments(source, picks, steps)
    starts = env.complete(recorded)
    goals = []
    for rows in _parts(len(seeds)):
        with closing(env.begin(Tasks(seeds, starts, starts).part(rows))) as batch:
            for moves in actions[rows].swapaxes(0, 1):
                batch.step(moves)
            goals.append(batch.state())
    return Tasks(seeds, starts, np.concatenate(goals))


def _picks(env: EnvSpec, source: Trajectories, held: JSON, seeds: Sequence[int], steps: int) -> list[tuple[int, int]]:
    """A held-out trajectory and one of its kept frames for each seed."""
    _, unseen = Train(**held).split(len(source.lengths))
    chosen = np.sort(unseen)
    last = source.lengths[chosen] - 1 - -(-steps // source.keep)
    chosen, last = chosen[last >= 0], last[last >= 0]
    if not len(chosen):
        raise ConfigError(f"mpc.steps: given {steps}; no held-out trajectory is that long, shorter episodes fit")
    picks = []
    for seed in seeds:
        stream = generator("env", env.kind, "dataset", seed)
        place = int(stream.integers(len(chosen)))
        picks.append((int(chosen[place]), int(stream.integers(last[place] + 1))))
    return picks


def _segments(source: Trajectories, picks: Sequence[tuple[int, int]], steps: int) -> tuple[Floats, Floats]:
    """`[B, X]` states at each (trajectory, kept frame) and the `[B, steps, a]` simulator actions from there on."""
    starts, actions = [np.empty(0)] * len(picks), [np.empty(0)] * len(picks)
    for row, frame, found in _found(source, picks):
        first = frame * source.keep
        starts[row] = found.states[frame]
        actions[row] = found.actions[first : first + steps].astype(np.float64)
    return np.stack(starts), np.stack(actions)


def _clips(source: Trajectories, picks: Sequence[tuple[int, int]], seeds: Sequence[int], steps: int) -> Tasks:
    """What was recorded at each (trajectory, kept frame) and `steps` simulator steps later, frames and all."""
    size, width = source.manifest["size"], source.manifest["dims"]["state"]
    states = np.empty((len(picks), 2, width))
    frames = np.empty((len(picks), 2, size, size, 3), np.uint8)
    for row, frame, found in _found(source, picks):
        ends = [frame, frame + steps // source.keep]
        states[row], frames[row] = found.states[ends], found.frames[ends]
    return Tasks(seeds, states[:, 0], states[:, 1], frames)


def _found(source: Trajectories, picks: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Trajectory]]:
    """Each pick's row, frame and trajectory; every shard is read once."""
    shards = np.repeat(np.arange(source.shards), [len(part) for part in source.manifest["lengths"]])
    places = np.concatenate([np.arange(len(part)) for part in source.manifest["lengths"]])
    for shard in sorted({int(shards[trajectory]) for trajectory, _ in picks}):
        trajectories = source.shard(shard)
        for row, (trajectory, frame) in enumerate(picks):
            if shards[trajectory] == shard:
                yield row, frame, trajectories[places[trajectory]]


def measure(env: EnvSpec, tasks: Tasks, seed: int, steps: int) -> tuple[Flags, Flags]:
    """`[B]` solved without moving, and `[B]` solved after `steps` uniformly random actions, by the study's test."""
    solved, lucky = [], []
    for rows in _parts(len(tasks.seeds)):
        part = tasks.part(rows)
        policy = POLICIES.parse({"kind": "uniform"}).start(env, [stream_seed("floor", seed, one) for one in part.seeds])
        with closing(env.begin(part)) as batch:
            solved.append(batch.success())
            for time in range(steps):
                batch.step(policy.act(batch.state(), time))
            lucky.append(batch.success())
    return np.concatenate(solved), np.concatenate(lucky)


def _parts(tasks: int) -> Iterator[range]:
    for first in range(0, tasks, BATCH):
        yield range(first, min(first + BATCH, tasks))


def write_manifest(folder: Path, tasks: Tasks, *, solved_at_start: Flags, random_success: Flags) -> None:
    """Leave the tasks as text that says every number exactly, with the digest of what it says."""
    said = {
        "schema": SCHEMA,
        "seeds": list(tasks.seeds),
        "starts": tasks.starts.tolist(),
        "goals": tasks.goals.tolist(),
        "solved_at_start": solved_at_start.tolist(),
        "random_success": random_success.tolist(),
    }
    if tasks.frames is not None:
        held = io.BytesIO()
        np.save(held, tasks.frames)
        write_whole(folder / FRAMES, held.getvalue())
    write_whole(folder / MANIFEST, canonical(said | {"digest": digest(said)}).encode())


def read_tasks(folder: Path, episodes: range) -> Tasks:
    """Some tasks of a manifest; raises ConfigError where it is not what was written."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if said.pop("digest", None) != digest(said):
        raise ConfigError(f"{folder / MANIFEST}: was changed; move the folder away to draw the tasks again")
    frames = np.load(folder / FRAMES, mmap_mode="r") if (folder / FRAMES).exists() else None
    return Tasks(said["seeds"], np.array(said["starts"]), np.array(said["goals"]), frames).part(episodes)
