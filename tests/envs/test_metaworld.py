"""The study's Metaworld: what the adapter promises beyond the contract."""

import os
import signal
from typing import get_args

import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP

from worldgrid.envs import ENVS, Floats
from worldgrid.envs.gl import renderer
from worldgrid.envs.metaworld import Metaworld, Task, borrow, give_back
from worldgrid.envs.sawyer import STATE, Sawyer, expert
from worldgrid.spec import ConfigError

TASKS = get_args(Task)
REACH = Metaworld(size=48, shadows=False, samples=0)


def path(task: str, seed: int, steps: int) -> tuple[Floats, list[bool], list[float]]:
    """What the expert went through: states, success, distance."""
    sawyer = Sawyer(task)
    sawyer.start(seed)
    states, successes, distances = [sawyer.state()], [sawyer.success], [sawyer.distance]
    for _ in range(steps):
        sawyer.step(expert(task, sawyer.state()[None])[0])
        states.append(sawyer.state())
        successes.append(sawyer.success)
        distances.append(sawyer.distance)
    return np.stack(states), successes, distances


def test_every_task_of_the_release_is_there() -> None:
    assert {f"{task}-v3" for task in TASKS} == set(ENV_POLICY_MAP)
    with pytest.raises(ConfigError, match="task"):
        ENVS.parse({"kind": "metaworld", "task": "reech"})


@pytest.mark.parametrize("task", ["reach", "door-open", "push-wall", "box-close"])
def test_a_restored_state_goes_on_to_the_bit_in_a_simulator_with_another_past(task: str) -> None:
    states, successes, distances = path(task, seed=7, steps=60)
    other = Sawyer(task)
    other.start(5)
    for step in (0, 30, 59):
        other.restore(states[step])
        assert np.array_equal(other.state(), states[step])
        assert (other.success, other.distance) == (successes[step], distances[step])
        other.step(expert(task, states[step][None])[0])
        assert np.array_equal(other.state(), states[step + 1])


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_starts_plays_and_comes_back(task: str) -> None:
    states, successes, distances = path(task, seed=3, steps=40)
    assert states.shape == (41, STATE)
    assert np.isfinite(states).all()
    other = Sawyer(task)
    other.start(4)
    other.restore(states[20])
    assert (other.success, other.distance) == (successes[20], distances[20])
    for step in range(20, 40):
        other.step(expert(task, states[step][None])[0])
    assert np.array_equal(other.state(), states[40])
    assert (other.success, other.distance) == (successes[40], distances[40])
    assert not np.array_equal(states[40, :3], states[0, :3])


def test_reach_succeeds_within_5_cm_of_the_target_and_not_before() -> None:
    _, successes, distances = path("reach", seed=1, steps=99)
    assert [distance <= 0.05 for distance in distances] == successes
    assert not successes[0]
    assert successes[-1]


def test_the_first_39_numbers_are_the_studys_state() -> None:
    batch = REACH.explore([2])
    for _ in range(2):
        before = batch.state()[0]
        batch.step(np.array([[1.0, 0.0, 0.5, -1.0]]))
    after = batch.state()[0]
    assert np.array_equal(after[18:36], before[:18])
    assert np.array_equal(batch.observe().proprio[0], after[:4].astype(np.float32))
    assert np.array_equal(after[36:39], before[36:39])


def test_goals_are_where_the_expert_ends() -> None:
    tasks = REACH.draw_tasks([11])
    batch = REACH.begin(tasks)
    for _ in range(99):
        batch.step(REACH.expert(batch.state()))
    assert np.array_equal(batch.state(), tasks.goals)
    assert batch.success().all()


def test_an_action_larger_than_one_is_clipped() -> None:
    one, two = REACH.explore([2]), REACH.explore([2])
    one.step(np.array([[9.0, -9.0, 9.0, 9.0]]))
    two.step(np.array([[1.0, -1.0, 1.0, 1.0]]))
    assert np.array_equal(one.state(), two.state())


def test_more_than_500_steps_can_be_played() -> None:
    batch = REACH.explore([2])
    for _ in range(510):
        batch.step(np.zeros((1, 4)))
    assert np.isfinite(batch.state()).all()


def test_the_goal_marker_is_drawn_where_the_target_is() -> None:
    """A red ball on grey and white: it moves with the target, not with the batch before."""
    shown = REACH.explore([21, 22]).observe().frames
    REACH.explore([23]).observe()
    assert np.array_equal(REACH.explore([22]).observe().frames[0], shown[1])
    assert not np.array_equal(shown[0], shown[1])


def test_a_batch_that_is_closed_leaves_its_simulators_to_the_next() -> None:
    batch = REACH.explore([1, 2])
    own = set(batch._sawyers)
    batch.close()
    held = borrow("reach", 2)
    assert set(held) == own
    give_back("reach", held)


def test_a_driver_that_crashes_is_started_again() -> None:
    states = REACH.explore([1]).state()
    frames = REACH.render(states)
    (sawyer,) = borrow("reach", 1)
    child = renderer(REACH.scene(sawyer.source))
    give_back("reach", [sawyer])
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert np.array_equal(REACH.render(states), frames)


def test_shadows_and_samples_change_the_picture_and_not_the_episode() -> None:
    plain, full = (Metaworld(size=64, shadows=on, samples=4 * on) for on in (False, True))
    states = plain.explore([1]).state()
    assert np.array_equal(full.explore([1]).state(), states)
    apart = np.abs(plain.render(states).astype(int) - full.render(states))
    assert 0 < apart.mean() < 20
