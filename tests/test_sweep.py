"""All trials of a grid: their order, and what becomes of errors that are nobody's fault."""

import errno
from pathlib import Path

import pytest
import yaml

from worldgrid.bucket import AwayError
from worldgrid.grid import Grid, make_grid
from worldgrid.spec import ConfigError
from worldgrid.store import Store
from worldgrid.sweep import in_order, open_trials, write_record, writing

from .test_price import AXES
from .worlds import SMALL


def grid(**axes: object) -> Grid:
    return make_grid(yaml.safe_dump({"base": SMALL, "axes": AXES | axes}, sort_keys=False), "made", "made.yaml")


def test_trials_that_others_wait_for_start_first() -> None:
    order = in_order(grid().trials)
    assert [trial.name for trial in order] == [
        "train.seed=0,planner=cem",
        "train.seed=1,planner=cem",
        "train.seed=0,planner=gd",
        "train.seed=1,planner=gd",
    ]


def test_of_these_the_one_that_most_wait_for_starts_first() -> None:
    made = grid()
    first = in_order(made.trials[1:])[0]
    assert first.training.key == made.trials[2].training.key


def test_one_more_value_on_an_axis_runs_the_new_trials_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for trial in grid().trials:
        for one in trial.evaluations:
            for step in one.step.walk():
                store.commit(step, {}, 1.0, {})
    more = grid(**{"train.seed": [0, 1, 2]})
    assert [trial.labels["train.seed"] for trial in open_trials(more, store)] == ["2", "2"]


def test_a_trial_that_left_the_grid_deletes_nothing(tmp_path: Path) -> None:
    store, whole = Store(tmp_path), grid()
    for step in whole.steps():
        store.commit(step, {}, 1.0, {})
    write_record(store, grid(**{"train.seed": [0]}))
    assert all(store.done(step.key) for step in whole.steps())


def test_a_store_whose_server_is_away_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ConfigError, match=r"^store s3://studies: does not answer; what is finished is kept, and the same"
        ),
        writing(Store(tmp_path)),
    ):
        raise AwayError("store s3://studies: does not answer")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_store_that_cannot_be_written_any_more_is_one_line(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot be written any more: .*; what is finished is kept"),
        writing(Store(tmp_path)),
    ):
        raise OSError(number, "No space left on device")


def test_other_errors_of_the_system_keep_their_own_words(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), writing(Store(tmp_path)):
        raise ConnectionResetError
