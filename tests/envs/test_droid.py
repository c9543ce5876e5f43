"""Recordings of a robot as episodes: planned from a recorded frame, measured against what was done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sources.made import pictures
from tests.sources.test_robots import droid
from tests.test_ingest import ingested
from tests.worlds import play_alone, untrained_evaluation
from worldgrid.envs import ENVS, Floats, Tasks
from worldgrid.envs.droid import Clips, Droid
from worldgrid.experiment import Experiment
from worldgrid.ledger import finish
from worldgrid.poses import moves
from worldgrid.spec import ConfigError
from worldgrid.stages.tasks import read_tasks
from worldgrid.store import Store
from worldgrid.trajectories import Trajectories

SPEC = Droid(size=16)
POSES = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 4, 7))
FRAMES = pictures(4).reshape(2, 2, 16, 16, 3)
SETTINGS: dict[str, Any] = {
    "env": {"kind": "droid", "size": 16},
    "mpc": {"horizon": 3, "execute": 3, "steps": 3, "context": 2},
    "evaluate": {"episodes": 6, "batch": 4, "goals": "dataset"},
    "objective": {"proprio": 0.0},
}
"""The study's protocol on DROID: one plan of three steps."""


def clips() -> Clips:
    """Two clips of three steps."""
    return SPEC.begin(Tasks([0, 1], POSES[:, 0], POSES[:, -1], FRAMES))


def after(offset: Floats) -> Clips:
    """Clips whose first action leads to the goal and so far beyond."""
    env, action = clips(), np.zeros((2, 7))
    action[:, :3] = POSES[:, -1, :3] - POSES[:, 0, :3] + offset
    env.step(action)
    return env


def test_the_recorded_actions_miss_nothing_and_score_80() -> None:
    env = clips()
    assert (env.distance() > 0).all()
    for actions in np.stack([moves(poses) for poses in POSES], axis=1):
        env.step(actions)
    assert np.allclose(env.state(), POSES[:, -1])
    assert np.allclose(env.distance(), 0)
    assert SPEC.scores(env.distance())["action_score"] == pytest.approx(80)


def test_what_is_missed_is_added_up_over_the_axes_of_the_position_alone() -> None:
    assert np.allclose(after(np.array([0.01, -0.02, 0.03])).distance(), 0.06)
    env, turned = clips(), np.zeros((2, 7))
    before = env.distance()
    turned[:, 3:] = 0.5
    env.step(turned)
    assert np.allclose(env.distance(), before)


def test_success_and_score_end_at_a_tenth_of_a_metre() -> None:
    for missed, reached in ((0.0999, True), (0.1001, False)):
        env = after(np.array([missed, 0.0, 0.0]))
        assert env.success().tolist() == [reached] * 2
        assert (SPEC.scores(env.distance())["action_score"] > 0) == reached


def test_the_study_says_45_of_a_mean_miss_of_43_millimetres() -> None:
    assert SPEC.scores(np.array([0.0434]))["action_score"] == pytest.approx(45.3, abs=0.05)


def test_recorded_frames_are_seen_at_the_start_and_as_the_goal_and_never_after_an_action() -> None:
    env = clips()
    assert np.array_equal(env.observe().frames, FRAMES[:, 0])
    assert np.array_equal(env.goal.frames, FRAMES[:, 1])
    env.step(np.full((2, 7), 0.01))
    with pytest.raises(ConfigError, match=r"mpc.execute and mpc.horizon as long as mpc.steps fit"):
        env.observe()


def test_nothing_is_drawn_collected_or_rendered() -> None:
    for refused in (lambda: SPEC.tasks([1]), lambda: SPEC.explore([1]), lambda: SPEC.render(POSES[:, 0])):
        with pytest.raises(ConfigError, match="recordings, without a simulator"):
            refused()


def recordings(folder: Path, store: Store) -> dict[str, Any]:
    """The settings of a trial on four ingested DROID episodes of 11 frames, of which every third is kept."""
    for episode in range(4):
        droid(folder / f"episode_{episode}", 14, seed=episode)
    section, _ = ingested(folder, store, "droid")
    return SETTINGS | {"collect": section.recipe(), "train": {"epochs": 1, "fraction": 0.5}}


def test_tasks_are_clips_of_held_out_recordings_with_their_own_frames(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = untrained_evaluation(store, **recordings(tmp_path / "droid", store))
    drawn = read_tasks(store.folder(step.inputs["tasks"].key), range(6))
    source = Trajectories(store.folder(step.inputs["tasks"].inputs["trajectories"].key))
    whole = [trajectory for shard in source for trajectory in shard]
    assert drawn.frames is not None
    for start, goal, frames in zip(drawn.starts, drawn.goals, drawn.frames, strict=True):
        (held, first) = next(
            (one, frame) for one in whole for frame in range(2) if np.array_equal(one.states[frame], start)
        )
        assert np.array_equal(held.states[first + 3], goal)
        assert np.array_equal(held.frames[[first, first + 3]], frames)
    part = read_tasks(store.folder(step.inputs["tasks"].key), range(4, 6))
    assert part.frames is not None
    assert np.array_equal(part.frames, drawn.frames[4:])


def test_an_evaluation_on_recordings_ends_with_the_studys_score(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = untrained_evaluation(store, **recordings(tmp_path / "droid", store))
    play_alone(store, step)
    metrics = finish(step, store.workspace(step.key))
    assert metrics["action_score"] == max(0.0, 800 * (0.1 - metrics["distance"]))
    assert metrics["episodes"] == 6


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"collect": {}}, "the section that `worldgrid ingest` prints fits"),
        ({"mpc": SETTINGS["mpc"] | {"execute": 1}}, r"mpc.steps: given 3; at most mpc.execute x env.frameskip \(1\)"),
        ({"evaluate": {"goals": "random_state"}}, "given 'random_state'; dataset fits env 'droid'"),
    ],
)
def test_what_recordings_cannot_do_is_refused_before_anything_runs(changes: dict[str, Any], line: str) -> None:
    plain = {
        "encoder": {"kind": "pixels", "patch": 16},
        "collect": {"kind": "ingested", "reader": {}, "source": "0" * 64},
    }
    with pytest.raises(ConfigError, match=line):
        Experiment.parse(SETTINGS | plain | changes)


def test_the_other_environments_report_no_score_of_their_own() -> None:
    assert ENVS.parse({"kind": "wall"}).scores(np.zeros(3)) == {}
