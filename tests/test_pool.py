"""The episode pool: each episode once, the same on any number of workers."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from worldgrid.ledger import chunk_path, chunks
from worldgrid.pool import Pool
from worldgrid.scale import Evaluate
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.step import Step
from worldgrid.store import Store

from .worlds import exact_evaluation, play_alone, table_bytes

pytestmark = pytest.mark.ray

NAP = {"kind": "tests.sleeping:Sleeping", "nap": 0.3}


def new_pool(store: Store, **scale: Any) -> Any:
    settings = Evaluate(**({"workers": (0, 2), "cpus": 0.1} | scale))
    return ray.remote(Pool).options(num_cpus=0).remote(store, settings)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of the tests that share a pool; each plays an evaluation with its own seed."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pool(cluster: None, store: Store) -> Iterator[Any]:
    """A pool of up to two workers that stay."""
    actor = new_pool(store, workers=(2, 2))
    yield actor
    ray.kill(actor)


def evaluation(store: Store, seed: int, episodes: int = 24, batch: int = 4, **changes: Any) -> Step:
    return exact_evaluation(store, evaluate={"episodes": episodes, "batch": batch, "seed": seed}, **changes)


def undisturbed(tmp_path: Path, seed: int, **changes: Any) -> bytes:
    alone = Store(tmp_path / "alone")
    return play_alone(alone, evaluation(alone, seed, **changes))


def wait_until(there: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def worker_pids(playing: Any) -> list[int]:
    return [place["pid"] for place in ray.get(playing.places.remote())]


def test_the_table_of_a_pool_is_that_of_one_process(pool: Any, store: Store, tmp_path: Path) -> None:
    step = evaluation(store, seed=1)
    assert ray.get(pool.play.remote(step))["episodes"] == 24
    assert table_bytes(store, step) == undisturbed(tmp_path, seed=1)


def test_chunks_played_side_by_side_in_one_worker_change_nothing(cluster: None, tmp_path: Path) -> None:
    there = Store(tmp_path)
    step = evaluation(there, seed=1)
    ray.get(new_pool(there, workers=(0, 1), chunks=3).play.remote(step))
    assert table_bytes(there, step) == undisturbed(tmp_path, seed=1)


def test_chunks_that_are_there_are_not_played_again(pool: Any, store: Store, tmp_path: Path) -> None:
    step = evaluation(store, seed=2)
    first = chunks(step)[0]
    play_chunk(step, load_world_model(step, store), first, store)
    before = chunk_path(store.folder(step.key), first).stat().st_mtime_ns
    ray.get(pool.play.remote(step))
    assert chunk_path(store.folder(step.key), first).stat().st_mtime_ns == before
    assert table_bytes(store, step) == undisturbed(tmp_path, seed=2)


def test_a_killed_worker_loses_no_episode_and_doubles_none(pool: Any, store: Store, tmp_path: Path) -> None:
    step = evaluation(store, seed=3, planner=NAP)
    result = pool.play.remote(step)
    wait_until(lambda: ray.get(pool.workers.remote())[0] == 2, "no worker ever played")
    psutil.Process(worker_pids(pool)[0]).kill()
    ray.get(result)
    assert table_bytes(store, step) == undisturbed(tmp_path, seed=3, planner=NAP | {"nap": 0.0})


def test_a_worker_told_to_end_hands_its_chunk_back_and_is_replaced(cluster: None, tmp_path: Path) -> None:
    there = Store(tmp_path)
    step = evaluation(there, seed=4, planner=NAP)
    playing = new_pool(there, workers=(0, 1), attempts=1)  # a chunk that is lost instead would be set aside
    result = playing.play.remote(step)
    wait_until(lambda: ray.get(playing.workers.remote())[0], "no worker ever played")
    (before,) = worker_pids(playing)
    psutil.Process(before).terminate()
    assert ray.get(result)["episodes"] == 24
    wait_until(lambda: not psutil.pid_exists(before), "the worker did not leave")


def test_a_failing_episode_fails_its_evaluation_with_its_own_words(pool: Any, store: Store) -> None:
    step = evaluation(store, seed=5, train={"epochs": 2})
    (store.folder(step.inputs["train"].key) / "shapes.json").write_text("{}")
    with pytest.raises(KeyError, match="predictor"):
        ray.get(pool.play.remote(step))
    assert store.done(step.key) is None


def test_evaluations_share_the_workers_and_all_end(pool: Any, store: Store) -> None:
    steps = [evaluation(store, seed, episodes=8, batch=2) for seed in (6, 7)]
    for metrics in ray.get([pool.play.remote(step) for step in steps]):
        assert metrics["episodes"] == 8
    tallies = ray.get(pool.tallies.remote())
    assert {step.key: tallies[step.key]["episodes"] for step in steps} == {step.key: 8 for step in steps}


def test_a_chunk_that_kills_every_worker_is_set_aside_and_the_rest_is_played(cluster: None, tmp_path: Path) -> None:
    there = Store(tmp_path)
    step = evaluation(there, seed=8, episodes=12, planner={"kind": "tests.sleeping:Deadly", "episode": 5})
    playing = new_pool(there, attempts=2)
    with pytest.raises(RuntimeError, match=r"4 of 12 episodes are missing: 4 to 7 took down 2 workers, see .*\.log"):
        ray.get(playing.play.remote(step))
    tally = ray.get(playing.tallies.remote())[step.key]
    assert (tally["episodes"], tally["missing"], tally["total"]) == (8, 4, 12)
    assert there.done(step.key) is None
    log = (there.folder(step.key) / "aside" / "000004-000008.log").read_text()
    assert log.count("process ") >= 2


def test_a_chunk_that_hangs_is_ended_at_its_limit_and_its_log_says_where_it_hung(cluster: None, tmp_path: Path) -> None:
    there = Store(tmp_path)
    step = evaluation(
        there, seed=9, episodes=12, planner={"kind": "tests.sleeping:Deadly", "episode": 5, "how": "hangs"}
    )
    with pytest.raises(RuntimeError, match="4 of 12 episodes are missing"):
        ray.get(new_pool(there, attempts=1, limit=8.0).play.remote(step))
    log = (there.folder(step.key) / "aside" / "000004-000008.log").read_text()
    assert "did not end within 8 s" in log
    assert "sleeping.py" in log


def test_an_evaluation_says_how_long_workers_were_busy_with_it(pool: Any, store: Store) -> None:
    step = evaluation(store, seed=11, episodes=8, planner=NAP)
    ray.get(pool.play.remote(step))
    done = store.done(step.key)
    assert done is not None
    assert done.host["spent"]["gpu_seconds"] == 0
    plans = 2  # two chunks, at least a plan each
    assert plans * NAP["nap"] <= done.host["spent"]["worker_seconds"] <= 2 * done.seconds  # on two workers


def test_what_a_training_waits_for_overtakes_what_came_before(pool: Any, store: Store) -> None:
    nap = NAP | {"nap": 0.1}
    before, urgent = (evaluation(store, seed, planner=nap) for seed in (12, 13))
    waiting = pool.play.remote(before)
    wait_until(lambda: ray.get(pool.workers.remote())[0] == 2, "no worker ever played")
    ray.get(pool.play.remote(urgent, 1))
    assert ray.get(pool.tallies.remote())[before.key]["running"]
    ray.get(waiting)


def test_idle_workers_leave(cluster: None, tmp_path: Path) -> None:
    there = Store(tmp_path)
    playing = new_pool(there, workers=(0, 1), idle=0.2)
    ray.get(playing.play.remote(evaluation(there, seed=10)))
    wait_until(lambda: ray.get(playing.workers.remote()) == (0, 0), "the worker did not leave")
