"""The episode pool: each episode once, the same on any number of workers."""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from worldgrid.ledger import chunk_path, chunks, finish
from worldgrid.pool import Pool, Worker
from worldgrid.scale import Evaluate
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.store import Store

from .worlds import EXACT, exact_evaluation, table_bytes

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table as one process makes it, without Ray."""
    store = Store(tmp_path_factory.mktemp("alone"))
    step = exact_evaluation(store)
    folder, world_model = store.workspace(step.key), load_world_model(step, store)
    for chunk in chunks(step):
        play_chunk(step, world_model, chunk, folder)
    finish(step, folder)
    return table_bytes(store, step)


def pool(store: Store, *, fewest: int = 0, most: int = 2) -> Any:
    scale = Evaluate(workers=(fewest, most), cpus=0.1)
    return ray.remote(Pool).options(num_cpus=0).remote(store, scale)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_table_is_the_same_to_the_bit_on_any_number_of_workers(
    cluster: None, tmp_path: Path, undisturbed: bytes, workers: int
) -> None:
    store = Store(tmp_path)
    step = exact_evaluation(store)
    metrics = ray.get(pool(store, most=workers).play.remote(step))
    assert metrics["episodes"] == EXACT["evaluate"]["episodes"]
    assert table_bytes(store, step) == undisturbed


def test_chunks_that_are_there_are_not_played_again(cluster: None, tmp_path: Path, undisturbed: bytes) -> None:
    store = Store(tmp_path)
    step = exact_evaluation(store)
    first = chunks(step)[0]
    play_chunk(step, load_world_model(step, store), first, store.workspace(step.key))
    before = chunk_path(store.folder(step.key), first).stat().st_mtime_ns
    ray.get(pool(store).play.remote(step))
    assert chunk_path(store.folder(step.key), first).stat().st_mtime_ns == before
    assert table_bytes(store, step) == undisturbed


def test_a_killed_worker_loses_no_episode_and_doubles_none(cluster: None, tmp_path: Path, undisturbed: bytes) -> None:
    store = Store(tmp_path)
    step = exact_evaluation(store)
    playing = pool(store)
    result = playing.play.remote(step)
    kill_a_worker_that_plays()
    ray.get(result)
    assert table_bytes(store, step) == undisturbed


def kill_a_worker_that_plays() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            if process.info["cmdline"] and process.info["cmdline"][0] == "ray::Worker.play":
                process.kill()
                return
        time.sleep(0.01)
    pytest.fail("no worker ever played")


def test_a_failing_episode_fails_its_evaluation_with_its_own_words(cluster: None, tmp_path: Path) -> None:
    store = Store(tmp_path)
    step = exact_evaluation(store)
    (store.folder(step.inputs["train"].key) / "shapes.json").write_text("{}")
    with pytest.raises(KeyError, match="predictor"):
        ray.get(pool(store).play.remote(step))
    assert store.done(step.key) is None


def test_two_evaluations_share_the_workers_and_both_end(cluster: None, tmp_path: Path) -> None:
    store = Store(tmp_path)
    steps = [exact_evaluation(store, evaluate={"episodes": 8, "batch": 2, "seed": seed}) for seed in (1, 2)]
    playing = pool(store)
    for metrics in ray.get([playing.play.remote(step) for step in steps]):
        assert metrics["episodes"] == 8
    tallies = ray.get(playing.tallies.remote())
    assert {step.key: tallies[step.key]["episodes"] for step in steps} == {step.key: 8 for step in steps}


def test_a_worker_keeps_the_world_models_it_used_last(tmp_path: Path) -> None:
    store = Store(tmp_path)
    worker = Worker(store)
    step = exact_evaluation(store)
    assert worker._model(step) is worker._model(step)


def test_idle_workers_leave(cluster: None, tmp_path: Path) -> None:
    store = Store(tmp_path)
    playing = ray.remote(Pool).options(num_cpus=0).remote(store, Evaluate(workers=(0, 1), cpus=0.1), 0.2)
    ray.get(playing.play.remote(exact_evaluation(store)))
    deadline = time.monotonic() + 20
    while ray.get(playing.workers.remote()) != (0, 0):
        assert time.monotonic() < deadline, "the worker did not leave"
        time.sleep(0.2)
