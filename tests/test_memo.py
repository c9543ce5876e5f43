"""One running task per step key."""

from pathlib import Path
from typing import Any

import pytest
import ray

from worldgrid.experiment import Experiment
from worldgrid.memo import Memo
from worldgrid.scale import Scale
from worldgrid.step import Step
from worldgrid.store import Store

from .worlds import EXACT

pytestmark = pytest.mark.ray


def encoding(**collect: Any) -> Step:
    """A step that needs another one: encode the little data that collect makes."""
    settings = EXACT | {"collect": {"episodes": 4, "steps": 30, "keep": 5, "shard": 2} | collect}
    return Experiment.parse(settings).training().inputs["latents"]


def memo(store: Store) -> Any:
    return ray.remote(Memo).options(num_cpus=0).remote(store, Scale(cpus=0.5), None)


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
    blocked.rmdir()
    assert ray.get(asked.obtain.remote(step))["frames"] == 4 * 7
