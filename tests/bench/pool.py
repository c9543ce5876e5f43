"""How well the episode pool uses its workers: sleeping ones, so that a small machine can hold many. Wall-clock time.

A chunk is `PLANS` plans of 50 ms, each followed by 10 ms of simulators, as long as nothing else is in its way.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from worldgrid.cli import quiet
from worldgrid.ledger import SCHEMA, chunks, write_chunk
from worldgrid.pool import Pool
from worldgrid.scale import Evaluate
from worldgrid.spec import JSON
from worldgrid.stages.evaluate import load_world_model, play_chunk
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.worker import Turn

from ..worlds import exact_evaluation

PLAN, SIMULATE, PLANS = 0.05, 0.01, 20
"""Seconds of a plan, of the simulators after it, and plans of a chunk."""
WORKERS = (1, 2, 8, 32, 64)
EACH = 6
"""Chunks for every worker."""
_EMPTY = {"bool": False, "int64": 0, "double": 0.0}
_ROW: JSON = {name: _EMPTY.get(str(SCHEMA.field(name).type), []) for name in SCHEMA.names}


class SleepingWorker:
    """A worker that sleeps instead of planning and simulating; what else a worker does is done. It needs no torch."""

    plans = PLANS

    def __init__(self, store: Store) -> None:
        self._store = store

    def arrive(self) -> JSON:
        """Where it is."""
        return {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid(), "log": ""}

    def play(self, step: Step, chunk: range, world_model: list[Any]) -> JSON:
        """Sleep, and commit rows that say nothing."""
        for _ in range(self.plans):
            time.sleep(PLAN)
            time.sleep(SIMULATE)
        rows = [_ROW | {"episode": episode} for episode in chunk]
        write_chunk(self._store.workspace(step.key), chunk, rows)
        return {"episodes": len(chunk), "successes": 0, "models": [], "loaded": False}


class RestlessWorker(SleepingWorker):
    """It does not even sleep: what is left is the pool's own time."""

    plans = 0


def show(console: Console) -> dict[str, float]:
    """Print the rows as a table."""
    table = Table("the episode pool, sleeping workers", "by the clock")
    figures = pool_rows()
    for name, figure in figures.items():
        table.add_row(name, f"{figure:.3g}")
    console.print(table)
    return figures


def pool_rows() -> dict[str, float]:
    """Efficiency at growing sizes, overhead of a chunk, time to the first episode, the gain of overlapping."""
    quiet()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    try:
        made = {f"pool of {workers}, share of the workers' time used": efficiency(workers) for workers in WORKERS}
        made["pool, ms of its own per chunk"] = 1000 * overhead()
        made["pool, s to the first episode"] = first_episode()
    finally:
        ray.shutdown()
    for nap in (SIMULATE / 5, PLAN / 5):  # five simulator steps to a plan
        made[f"overlapping, plans of 50 ms and simulators of {5000 * nap:.0f} ms, times as fast"] = overlapping(nap)
    return made


def efficiency(workers: int) -> float:
    """Time the chunks need by themselves, over the time that so many workers take."""
    with tempfile.TemporaryDirectory() as folder:
        count = EACH * workers
        seconds = _seconds(Store(folder), workers, count, SleepingWorker)
        return count * PLANS * (PLAN + SIMULATE) / (workers * seconds)


def overhead() -> float:
    """Seconds between two chunks of one worker."""
    with tempfile.TemporaryDirectory() as folder:
        return _seconds(Store(folder), 1, 200, RestlessWorker) / 200


def first_episode() -> float:
    """Seconds from an empty pool to the first episode that was played: a process starts and loads torch and a model."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        step = exact_evaluation(store, evaluate={"episodes": 8, "batch": 1, "seed": 1})
        began = time.monotonic()
        pool = ray.remote(Pool).options(num_cpus=0).remote(store, Evaluate(workers=(0, 1), cpus=0.1))
        playing = pool.play.remote(step)
        while not ray.get(pool.tallies.remote()).get(step.key, {"episodes": 0})["episodes"]:
            time.sleep(0.02)
        seconds = time.monotonic() - began
        ray.get(playing)
        ray.kill(pool)
        return seconds


def overlapping(nap: float) -> float:
    """How much faster one worker plays two chunks side by side than one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        changes: JSON = {
            "env": {"kind": "tests.sleeping:SleepingPoint", "size": 16, "nap": nap},
            "planner": {"kind": "tests.sleeping:Sleeping", "nap": PLAN},
            "mpc": {"horizon": 1, "execute": 1, "steps": 5 * PLANS, "context": 1},
        }
        step = exact_evaluation(store, evaluate={"episodes": 4, "batch": 2, "seed": 1}, **changes)
        world_model, turn, parts = load_world_model(step, store), Turn(), chunks(step)

        def played(part: range) -> None:
            play_chunk(step, world_model, part, store, turn)

        began = time.monotonic()
        for part in parts:
            played(part)
        middle = time.monotonic()
        threads = [threading.Thread(target=played, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (middle - began) / (time.monotonic() - middle)


def _seconds(store: Store, workers: int, count: int, kind: type) -> float:
    """How long so many workers, all of them there, take for `count` chunks of one episode."""
    step = exact_evaluation(store, evaluate={"episodes": count, "batch": 1, "seed": 1})
    scale = Evaluate(workers=(workers, workers), cpus=0.001)
    pool = ray.remote(Pool).options(num_cpus=0).remote(store, scale, kind)
    ray.get(pool.play.remote(exact_evaluation(store, evaluate={"episodes": 1, "batch": 1, "seed": 2})))
    while ray.get(pool.census.remote())["idle"] < workers:
        time.sleep(0.1)
    began = time.monotonic()
    ray.get(pool.play.remote(step))
    seconds = time.monotonic() - began
    ray.kill(pool)
    return seconds
