"""The pool's side of a worker: what it asks Ray for, when it has room, what its time is counted as."""

import time

import pytest

from worldgrid.scale import Evaluate
from worldgrid.seats import Seat, wanted


def seat() -> Seat:
    return Seat(actor=None, place={"node": "here", "pid": 1, "log": ""})


def test_four_workers_share_a_gpu_that_each_asks_for_a_quarter_of() -> None:
    assert wanted(Evaluate(gpus=0.25))["num_gpus"] == 0.25


@pytest.mark.parametrize(("settings", "chunks"), [({}, 1), ({"gpus": 0.5}, 2), ({"gpus": 0.5, "chunks": 3}, 3)])
def test_a_worker_with_a_gpu_plays_two_chunks_side_by_side_unless_told(settings: dict[str, float], chunks: int) -> None:
    assert Evaluate(**settings).side_by_side == chunks
    assert wanted(Evaluate(**settings))["max_concurrency"] > chunks


def test_a_lost_worker_is_not_begun_again_by_ray() -> None:
    assert wanted(Evaluate())["max_restarts"] == 0


def test_a_worker_on_its_way_has_no_room() -> None:
    assert not Seat(actor=None).has_room(0)
    assert seat().has_room(0)


def test_a_suspect_chunk_is_played_alone() -> None:
    one = seat()
    one.alone = True
    one.take_up()
    assert not one.has_room(5)
    one.put_down()
    assert one.has_room(0)


def test_chunks_side_by_side_share_the_time_of_their_worker() -> None:
    one, began = seat(), time.monotonic()
    one.take_up()
    first = one.spent
    time.sleep(0.02)
    one.take_up()
    second = one.spent
    time.sleep(0.02)
    one.put_down()
    taken = one.spent - first
    time.sleep(0.02)
    one.put_down()
    taken += one.spent - second
    assert taken == pytest.approx(time.monotonic() - began, abs=2e-3)


def test_an_idle_worker_spends_nothing() -> None:
    one = seat()
    one.take_up()
    one.put_down()
    before = one.spent
    time.sleep(0.02)
    one.take_up()
    assert one.spent == before
