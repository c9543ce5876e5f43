"""One running task per step key."""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import RayActorError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from worldgrid.bucket import AwayError
from worldgrid.experiment import Experiment
from worldgrid.memo import Memo, is_lost
from worldgrid.pool import Pool
from worldgrid.scale import Scale
from worldgrid.step import Step
from worldgrid.store import Store

from .worlds import EXACT, exact_evaluation

pytestmark = pytest.mark.ray


def encoding(**collect: Any) -> Step:
    """A step that needs another one: encode the little data that collect makes."""
    settings = EXACT | {"collect": {"episodes": 4, "steps": 30, "keep": 5, "shard": 2} | collect}
    return Experiment.parse(settings).training().inputs["latents"]


def memo(store: Store) -> Any:
    return ray.remote(Memo).options(num_cpus=0).remote(store, Scale(cpus=0.5), "no pool")


def test_a_step_runs_after_what_it_needs_and_both_are_committed(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding()
    assert ray.get(memo(store).obtain.remote(step))["frames"] == 4 * 7
    assert [store.done(one.key) is not None for one in step.walk()] == [True, True]


def test_who_asks_second_awaits_the_first(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding()
    asked = memo(store)
    results = ray.get([asked.obtain.remote(step) for _ in range(5)])
    assert all(result == results[0] for result in results)
    states = {one.stage: one.state for one in ray.get(asked.progress.remote()).values()}
    assert states == {"collect": "done", "encode": "done"}


def test_what_is_in_the_store_is_not_run_again(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding()
    ray.get(memo(store).obtain.remote(step))
    first = [store.done(one.key) for one in step.walk()]
    again = memo(store)
    ray.get(again.obtain.remote(step))
    assert [store.done(one.key) for one in step.walk()] == first
    assert {one.state for one in ray.get(again.progress.remote()).values()} == {"cached"}


def test_a_failed_step_says_why_to_everyone_who_waited_and_may_be_asked_for_again(
    cluster: None, tmp_path: Path
) -> None:
    store, step = Store(tmp_path), encoding()
    blocked = store.workspace(step.inputs["trajectories"].key) / "manifest.json"
    blocked.mkdir()
    asked = memo(store)
    waiting = [asked.obtain.remote(step) for _ in range(2)]
    for one in waiting:
        with pytest.raises(RuntimeError, match="IsADirectoryError"):
            ray.get(one)
    failed = ray.get(asked.progress.remote())[step.inputs["trajectories"].key]
    assert "IsADirectoryError" in Path(failed.log).read_text()
    assert failed.lost == 0
    blocked.rmdir()
    assert ray.get(asked.obtain.remote(step))["frames"] == 4 * 7


def test_a_published_checkpoint_is_evaluated_while_its_training_goes_on(cluster: None, tmp_path: Path) -> None:
    store = Store(tmp_path)
    step = exact_evaluation(store, train={"epochs": 2}, evaluate={"episodes": 4, "batch": 4})
    train = step.inputs["train"]
    (store.folder(train.key) / "done.json").unlink()
    pool = ray.remote(Pool).options(num_cpus=0, name="pool").remote(store, Scale().evaluate)
    asked = ray.remote(Memo).options(num_cpus=0).remote(store, Scale(cpus=0.5), "pool")
    with store.claim(train.inputs["latents"].inputs["trajectories"].key):  # so that no training can begin
        assert ray.get(asked.obtain.remote(step))["episodes"] == 4
    assert store.done(train.key) is None
    for actor in (asked, pool):
        ray.kill(actor)


def test_a_step_whose_worker_is_killed_is_run_again(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding(episodes=2000, shard=100).inputs["trajectories"]
    asked = memo(store)
    result = asked.obtain.remote(step)
    kill(f"ray::{step.key}")
    assert ray.get(result)["episodes"] == 2000
    assert ray.get(asked.progress.remote())[step.key].lost == 1


def kill(title: str) -> None:
    """Kill the process of a running task."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            if process.info["cmdline"] and process.info["cmdline"][0].startswith(title):
                process.kill()
                return
        time.sleep(0.005)
    pytest.fail(f"{title} never ran")


def test_nothing_is_made_of_a_damaged_input(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding()
    source = step.inputs["trajectories"]
    ray.get(memo(store).obtain.remote(source))
    shard = next(store.folder(source.key).glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(RuntimeError, match=rf"{step.key}: .*{shard.name}: damaged"):
        ray.get(memo(store).obtain.remote(step))
    assert store.done(step.key) is None


def test_a_damaged_commit_fails_who_needs_it_and_names_the_file(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding()
    source = step.inputs["trajectories"]
    (store.workspace(source.key) / "done.json").write_text("{")
    asked = memo(store)
    with pytest.raises(RuntimeError, match=rf"{source.key}: .*done.json: damaged .*; move the folder away"):
        ray.get(asked.obtain.remote(step))
    assert {one.stage: one.state for one in ray.get(asked.progress.remote()).values()} == {
        "collect": "failed",
        "encode": "failed",
    }


def test_a_step_that_another_driver_runs_is_awaited(cluster: None, tmp_path: Path) -> None:
    store, step = Store(tmp_path), encoding().inputs["trajectories"]
    with store.claim(step.key):  # type: ignore[union-attr]
        asked = memo(store)
        result = asked.obtain.remote(step)
        assert ray.wait([result], timeout=3)[0] == []
        store.commit(step, {"frames": 7}, 1.0, {})
    assert ray.get(result) == {"frames": 7}


def test_what_a_lost_worker_leaves_is_told_from_an_error_of_the_step() -> None:
    died = RayActorError()
    assert is_lost(died)
    assert is_lost(WorkerGroupError("the store was away", {0: AwayError("store s3://studies: does not answer")}))
    assert is_lost(WorkerGroupError("a rank died", {0: WorkerHealthCheckFailedError("no answer", died)}))
    assert is_lost(ControllerError(died))
    assert is_lost(WorkerGroupError("one rank died, the other lost its peer", {0: RuntimeError("peer"), 1: died}))
    assert not is_lost(WorkerGroupError("both", {0: ValueError("no"), 1: RuntimeError("peer")}))
    assert not is_lost(ValueError("no"))
