"""One evaluation's accounts."""

from pathlib import Path

import pytest

from worldgrid.ledger import chunks
from worldgrid.playing import ChunkError, Playing
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.step import Step
from worldgrid.store import Store

from .worlds import exact_evaluation


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def step(store: Store) -> Step:
    return exact_evaluation(store, evaluate={"episodes": 10, "batch": 4, "seed": 1})


def begin(store: Store, step: Step) -> Playing:
    return Playing.begin(step, store.workspace(step.key))


def test_what_the_ledger_has_is_counted_and_the_rest_waits(store: Store, step: Step) -> None:
    counts = play_chunk(step, load_world_model(step, store), chunks(step)[1], store)
    one = begin(store, step)
    assert one.waiting == [range(4), range(8, 10)]
    assert one.tally == {**counts, "missing": 0, "total": 10, "running": True}


def test_it_is_over_when_no_chunk_is_left(store: Store, step: Step) -> None:
    one = begin(store, step)
    for _ in one.waiting:
        assert not one.finished.is_set()
        one.close()
    assert one.finished.is_set()
    one.conclude()


def test_nothing_waits_of_what_was_played_before(store: Store, step: Step) -> None:
    for chunk in chunks(step):
        play_chunk(step, load_world_model(step, store), chunk, store)
    assert begin(store, step).finished.is_set()


def test_the_first_error_is_told(store: Store, step: Step) -> None:
    one = begin(store, step)
    one.fail(KeyError("first"))
    one.fail(KeyError("second"))
    with pytest.raises(KeyError, match="first"):
        one.conclude()


def test_missing_episodes_are_named_with_their_log_and_never_passed_over(store: Store, step: Step) -> None:
    one = begin(store, step)
    first, *rest = one.waiting
    one.deaths[first] = ["it died", "it died again"]
    one.set_aside(first, store.workspace(step.key))
    for _ in rest:
        one.close()
    with pytest.raises(ChunkError, match=r"4 of 10 episodes are missing: 0 to 3 took down 2 workers, see (.*)") as told:
        one.conclude()
    assert Path(str(told.value).rpartition("see ")[2]).read_text() == "it died\n\nit died again"
