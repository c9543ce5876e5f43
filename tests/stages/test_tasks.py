"""The tasks of an evaluation: the same for every trial that plays them, and measured before anything plans."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldgrid.envs import ENVS, Tasks
from worldgrid.experiment import Experiment
from worldgrid.noise import generator, stream_seed
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError
from worldgrid.stages import Job, collect, tasks
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trajectories import Trajectories

SETTINGS: dict[str, Any] = {
    "env": {"kind": "pointmaze", "renderer": "raster", "size": 16},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 1, "proprio": "none"},
    "collect": {"episodes": 20, "steps": 40, "keep": 5, "shard": 6},
    "mpc": {"horizon": 2, "execute": 2, "steps": 20, "context": 1},
    "evaluate": {"episodes": 40, "seed": 5},
}
RECORDED = {"evaluate": {"episodes": 12, "seed": 5, "goals": "dataset"}}


def made(**changes: Any) -> Experiment:
    return Experiment.parse(SETTINGS | changes)


def draw(store: Store, step: Step) -> dict[str, Any]:
    metrics = tasks.run(Job.open(step, store, Scale()))
    store.commit(step, metrics, seconds=0.0, host={})
    return metrics


def recorded(store: Store, experiment: Experiment) -> Trajectories:
    """Collect what the dataset's goals are taken from, in this process."""
    step = experiment.tasks().inputs["trajectories"]
    folder = store.workspace(step.key)
    for shard in range(4):
        collect.record(experiment.env, experiment.collect, shard, folder / collect.shard_name(shard))
    dims = {"action": 2, "proprio": 4, "state": 4}
    collect.write_manifest(folder, shards=4, keep=5, size=16, dims=dims)
    store.commit(step, {}, seconds=0.0, host={})
    return Trajectories(folder)


def test_a_manifest_holds_what_the_environment_draws_to_the_bit(tmp_path: Path) -> None:
    store, step = Store(tmp_path), made().tasks()
    draw(store, step)
    seeds = [stream_seed("task", 5, episode) for episode in range(40)]
    wanted, read = made().env.draw_tasks(seeds), tasks.read_tasks(store.folder(step.key), range(40))
    assert read.seeds == seeds
    assert np.array_equal(read.starts, wanted.starts)
    assert np.array_equal(read.goals, wanted.goals)


def test_a_chunk_reads_its_own_tasks(tmp_path: Path) -> None:
    store, step = Store(tmp_path), made().tasks()
    draw(store, step)
    whole, part = (tasks.read_tasks(store.folder(step.key), rows) for rows in (range(40), range(8, 12)))
    assert part.seeds == whole.seeds[8:12]
    assert np.array_equal(part.starts, whole.starts[8:12])


def test_trials_that_differ_in_anything_but_the_task_meet_the_same_tasks() -> None:
    one = made().tasks()
    for changes in (
        {"planner": {"kind": "gd"}},
        {"train": {"seed": 3}},
        {"evaluate": SETTINGS["evaluate"] | {"batch": 4}},
        {"env": SETTINGS["env"] | {"frameskip": 10}},
    ):
        assert made(**changes).tasks().key == one.key
        assert made(**changes).evaluations()[-1].step.inputs["tasks"].key == one.key


def test_the_floor_is_what_the_simulator_says(tmp_path: Path) -> None:
    store, step = Store(tmp_path), made().tasks()
    metrics = draw(store, step)
    batch = made().env.tasks([stream_seed("task", 5, episode) for episode in range(40)])
    assert metrics["solved_at_start"] == batch.success().mean() > 0
    said = json.loads((store.folder(step.key) / tasks.MANIFEST).read_text())
    assert np.array_equal(said["solved_at_start"], batch.success())
    assert metrics["random_success"] == np.mean(said["random_success"]) < 0.5


def test_a_random_walk_solves_what_lies_a_step_away_and_not_what_lies_across() -> None:
    point = ENVS.parse({"kind": "point", "threshold": 0.1})
    seeds, starts = range(40), np.full((40, 2), 0.5)
    near, far = (Tasks(seeds, starts, starts + apart) for apart in ((0.1, 0.0), (0.45, 0.45)))
    assert tasks.measure(point, near, seed=0, steps=5)[1].mean() > 0.2
    assert not tasks.measure(point, far, seed=0, steps=5)[1].any()


def test_goals_of_the_dataset_are_where_its_actions_lead(tmp_path: Path) -> None:
    store, experiment = Store(tmp_path), made(**RECORDED)
    source = recorded(store, experiment)
    draw(store, experiment.tasks())
    drawn = tasks.read_tasks(store.folder(experiment.tasks().key), range(12))
    episodes = [trajectory.states for shard in source for trajectory in shard]
    for start, goal in zip(drawn.starts, drawn.goals, strict=True):
        found = [(states, frame) for states in episodes for frame in range(5) if np.array_equal(states[frame], start)]
        assert len(found) == 1
        states, frame = found[0]
        assert np.array_equal(states[frame + 4], goal)


def test_goals_of_the_dataset_come_from_trajectories_that_training_holds_out(tmp_path: Path) -> None:
    store, experiment = Store(tmp_path), made(**RECORDED, train={"fraction": 0.9})
    source = recorded(store, experiment)
    draw(store, experiment.tasks())
    starts = tasks.read_tasks(store.folder(experiment.tasks().key), range(12)).starts
    episodes = [trajectory.states for shard in source for trajectory in shard]
    used = {row for row in range(20) for start in starts if (episodes[row] == start).all(axis=1).any()}
    held = generator("split", experiment.train.split_seed).permutation(20)[18:]
    assert used == set(held.tolist())


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    store, step = Store(tmp_path), made().tasks()
    draw(store, step)
    path = store.folder(step.key) / tasks.MANIFEST
    said = json.loads(path.read_text())
    said["goals"][0][0] += 1e-9
    path.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="was changed; move the folder away to draw the tasks again"):
        tasks.read_tasks(store.folder(step.key), range(1))


def test_recorded_states_of_another_simulator_are_refused(tmp_path: Path) -> None:
    store, experiment = Store(tmp_path), made(**RECORDED)
    source = recorded(store, experiment)
    other = ENVS.parse({"kind": "point"})
    with pytest.raises(ConfigError, match="env 'point': the recorded states have 4 numbers, those of the simulator 2"):
        tasks.recorded_tasks(other, source, {"split_seed": 234, "fraction": 0.9}, [1, 2], steps=10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate": {"goals": "expert"}}, "evaluate.goals: given 'expert'; random_state or dataset fits"),
        (RECORDED | {"mpc": {"steps": 41, "context": 1}}, r"mpc.steps: given 41; at most collect.steps \(40\) fits"),
    ],
)
def test_goals_that_cannot_be_had_are_refused_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**changes)
