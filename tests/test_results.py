"""Reading a grid out of the store."""

from pathlib import Path

import numpy as np
import pytest

from worldgrid.curve import read_curve
from worldgrid.results import read_grid, read_recordings, write_failures
from worldgrid.spec import ConfigError

from .synthetic import BATCH, EPISODES, NAME, STEPS, MadeUp, make


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    made = make(tmp_path)
    made.ask()
    return made


def test_a_grid_that_has_not_begun_is_all_waiting(made: MadeUp) -> None:
    assert {trial.state for trial in read_grid(made.store, NAME).trials} == {"waiting"}


def test_a_trial_walks_from_training_over_planning_to_finished(made: MadeUp) -> None:
    trial, states = made.trials[0], []
    for advance in (
        lambda: made.learn(trial["steps"]["train"], 0, 3),
        lambda: made.done(trial["steps"]["train"], 50, {"loss": 0.1}),
        lambda: made.finish(trial),
    ):
        advance()
        states.append(read_grid(made.store, NAME).trials[0].state)
    assert states == ["training", "planning", "finished"]


def test_the_episodes_of_an_unfinished_evaluation_are_those_of_its_chunks_in_order(made: MadeUp) -> None:
    made.play(made.trials[0], BATCH, 2 * BATCH)
    made.play(made.trials[0], 0, BATCH)
    evaluation = read_grid(made.store, NAME).trials[0].final
    assert (evaluation.done, evaluation.wanted) == (None, EPISODES)
    assert evaluation.episodes.episode.tolist() == list(range(2 * BATCH))


def test_success_is_what_the_table_says(made: MadeUp) -> None:
    made.finish(made.trials[0])
    trial = read_grid(made.store, NAME).trials[0]
    assert trial.final.done is not None
    assert trial.final.episodes.successes == trial.final.done.metrics["successes"]


def test_a_failure_is_told_until_the_trial_has_finished(made: MadeUp) -> None:
    write_failures(made.store, NAME, {made.trials[0]["key"]: "no space left", made.trials[1]["key"]: "no memory"})
    made.finish(made.trials[1])
    first, second, *_ = read_grid(made.store, NAME).trials
    assert (first.state, first.error) == ("failed", "no space left")
    assert (second.state, second.error) == ("finished", None)


def test_a_trial_is_compared_with_the_baseline_that_shares_its_other_labels(made: MadeUp) -> None:
    grid = read_grid(made.store, NAME)
    trial = grid.at({"conditioning": "feature", "planner": "gd", "train.seed": "1"})
    assert trial is not None
    counterpart = grid.counterpart(trial)
    assert counterpart is not None
    assert counterpart.labels == {"conditioning": "adaln", "planner": "cem", "train.seed": "1"}
    assert grid.counterpart(counterpart) is None


def test_an_episode_is_read_back_as_states_and_goal(made: MadeUp) -> None:
    made.finish(made.trials[0])
    recording = read_recordings(made.store, made.trials[0]["evaluations"][0]["key"])[3]
    assert recording.episode == 3
    assert recording.states.shape == (STEPS + 1, 2)
    assert np.allclose(recording.states[-1], recording.goal) == recording.success


def test_a_line_still_being_written_waits_for_the_next_reading(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    lines, end = read_curve(path)
    path.write_text('{"step": 1}\n{"step": 2}\n')
    assert (lines, read_curve(path, end)[0]) == ([{"step": 1}], [{"step": 2}])


def test_a_curve_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    assert read_curve(path, 1000)[0] == [{"step": 1}]


def test_an_unknown_grid_is_one_clear_line(made: MadeUp) -> None:
    with pytest.raises(ConfigError, match=r"has no grid 'made_upp'; did you mean 'made_up'\?"):
        read_grid(made.store, "made_upp")
