"""robosuite in its own Python: what the adapter promises beyond the contract."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from worldgrid.envs import ENVS, Floats, Tasks
from worldgrid.envs.robosuite import EFFORT, HEIGHT, OBJECT, RISE, STATES, Robosuite, expert
from worldgrid.envs.robosuite_process import FOLDER, Process, _process
from worldgrid.spec import ConfigError

REACH = Robosuite(size=48)
there = pytest.mark.skipif(bool(REACH.lacks()), reason=f"env robosuite: {REACH.lacks()}")


def state(hand: Floats, thing: Floats, **numbers: float) -> Floats:
    """`[X]` of `lift` as far as the expert and the tests look at it: the object rests at 0.8 and is to go to (1, 1)."""
    made = np.zeros(STATES["lift"])
    made[:3], made[OBJECT], made[10:13], made[HEIGHT] = hand, thing, [1.0, 1.0, 0.8], 0.8
    made[RISE], made[EFFORT] = numbers.get("rise", 0.0), numbers.get("effort", -1.0)
    return made


THING = np.array([0.0, 0.0, 0.8])


def beyond(x: float, y: float, z: float) -> Floats:
    """`[3]` a place so far from the object."""
    return THING + np.array([x, y, z])


@pytest.mark.parametrize(
    ("subtask", "below", "above"),
    [
        ("reach", state(beyond(0.199, 0, 0), THING), state(beyond(0.201, 0, 0), THING)),
        ("pick", state(THING, THING, rise=0.0501), state(THING, THING, rise=0.0499)),
        ("place", state(THING, beyond(0, 0.149, 0)), state(THING, beyond(0, 0.151, 0))),
    ],
)
def test_success_changes_at_the_studys_thresholds(subtask: str, below: Floats, above: Floats) -> None:
    goals = np.stack([state(THING, THING)] * 2)
    batch = ENVS.parse({"kind": "robosuite", "subtask": subtask}).begin(Tasks([1, 2], np.stack([below, above]), goals))
    assert batch.success().tolist() == [True, False]


def test_the_expert_comes_from_above_closes_and_only_then_lifts() -> None:
    beside, over, at = beyond(0.2, 0, 0), beyond(0.005, 0, 0.2), THING
    assert expert("pick", state(beside, THING))[[0, 6]].tolist() == [-0.05, -1.0]
    assert expert("pick", state(over, THING))[[2, 6]].tolist() == [-0.05, -1.0]
    assert expert("pick", state(at, THING))[[2, 6]].tolist() == [0.0, 1.0]
    assert expert("pick", state(at, THING, effort=1.0))[[2, 6]].tolist() == [0.05, 1.0]


def test_the_expert_lets_go_where_the_object_is_to_be_and_only_then_leaves() -> None:
    target = np.array([1.0, 1.0, 0.8])
    assert expert("place", state(target, target, effort=1.0))[[2, 6]].tolist() == [0.0, -1.0]
    assert np.allclose(expert("place", state(target, target, effort=-1.0))[[2, 6]], [0.05, -1.0])


def test_without_its_environment_one_line_says_what_makes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert "make robosuite" in REACH.lacks()
    with pytest.raises(ConfigError, match="`make robosuite` makes it"):
        Process(REACH.built).ask({"do": "start", "seeds": [1]}, ())


@pytest.mark.slow
@there
@pytest.mark.parametrize("task", ["lift", "pick_place"])
def test_the_expert_reaches_picks_and_places(task: str) -> None:
    for subtask in ("reach", "pick", "place"):
        spec = ENVS.parse({"kind": "robosuite", "task": task, "subtask": subtask, "size": 48})
        tasks = spec.draw_tasks([1, 2])
        assert not spec.begin(tasks).success().any()
        batch = spec.begin(tasks)
        batch.restore(tasks.goals)
        assert batch.success().all()


@pytest.mark.slow
@there
def test_an_action_moves_the_hand_along_its_axes_and_is_clipped_at_the_controllers_range() -> None:
    start = REACH.explore([3]).state()
    forward, far = np.zeros((1, 7)), np.zeros((1, 7))
    forward[0, 0], far[0, 0] = 0.05, 9.0
    moved = REACH.step(start, forward)
    assert moved[0, 0] - start[0, 0] > 0.03
    assert np.abs(moved[0, 1:3] - start[0, 1:3]).max() < 0.01
    assert np.array_equal(REACH.step(start, far), moved)


@pytest.mark.slow
@there
def test_an_action_is_made_as_often_as_repeat_says() -> None:
    start = REACH.explore([3]).state()
    once, action = Robosuite(size=48, repeat=1), np.full((1, 7), 0.03)
    twice = once.step(once.step(start, action), action)
    assert np.array_equal(Robosuite(size=48, repeat=2).step(start, action), twice)


@pytest.mark.slow
@there
def test_a_process_that_dies_is_started_again() -> None:
    start = REACH.explore([3]).state()
    process = _process(REACH.built)
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert np.array_equal(REACH.explore([3]).state(), start)
    assert process.pid != first


@pytest.mark.slow
@there
def test_without_robocasa_its_task_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="task counter_top: ModuleNotFoundError: No module named 'robocasa'"):
        ENVS.parse({"kind": "robosuite", "task": "counter_top"}).explore([1])
