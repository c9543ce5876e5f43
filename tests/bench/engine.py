"""What the machinery around the steps costs: for trials that are in the store already, for large grids, for waiting.

CPU seconds of this process, but for the scheduling of sleeping steps, which is wall-clock time.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import yaml
from rich.console import Console
from rich.table import Table

from tests.worlds import SMALL
from worldgrid.cli import quiet
from worldgrid.console import show_grid
from worldgrid.grid import Grid, make_grid
from worldgrid.memo import Memo
from worldgrid.scale import Scale
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.sweep import in_order, open_trials, write_record

NAP, NAPS = 2.0, 4
"""Seconds that a sleeping step takes, and how many each worker gets."""


def large(trials: int) -> Grid:
    """A grid of 10 planners and so many training seeds."""
    planners = [{"kind": "cem", "samples": 8 * samples, "elites": 8} for samples in range(1, 11)]
    axes = {"train.seed": list(range(trials // 10)), "planner": planners}
    return make_grid(yaml.safe_dump({"base": SMALL, "axes": axes}), "large", "large.yaml")


def cached(trials: int) -> dict[str, float]:
    """Milliseconds that each trial of a grid costs which is in the store: expanded, looked up, recorded."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for step in large(trials).steps():
            store.commit(step, {"episodes": 8, "successes": 4}, 1.0, {})
        began = time.process_time()
        grid = large(trials)
        write_record(store, grid)
        assert not in_order(open_trials(grid, store))
        return {f"overhead of a cached trial of {trials:,}, ms": 1000 * (time.process_time() - began) / trials}


def shown(trials: int) -> dict[str, float]:
    """Seconds to expand and show a grid, and the memory of the process that did; in a process of its own."""
    code = f"from tests.bench.engine import expand_and_show; print(expand_and_show({trials}))"
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    seconds, megabytes = json.loads(said.splitlines()[-1])
    return {f"expand and show {trials:,} trials, s": seconds, f"memory with {trials:,} trials, MB": megabytes}


def expand_and_show(trials: int) -> str:
    """`[CPU seconds, megabytes at most]`, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        show_grid(large(trials), Store(folder), Console(file=(Path(folder) / "shown").open("w")))
        seconds = time.process_time() - began
    return json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024])


class Sleepers(Memo):
    """A memo whose steps sleep, each on a worker of its own; all else is the real one."""

    def __init__(self, store: Store, workers: int) -> None:
        super().__init__(store, Scale(), "no pool")
        self._free = asyncio.Semaphore(workers)

    async def _run(self, step: Step, progress: Any) -> JSON:
        async with self._free:
            await asyncio.sleep(NAP)
        done = await asyncio.to_thread(self._store.commit, step, {}, NAP, {})  # real steps commit in their own process
        return done.metrics


def scheduling(workers: int) -> dict[str, float]:
    """The share of their time that workers sleep while memo gives them step after step."""
    with tempfile.TemporaryDirectory() as folder:
        memo = ray.remote(Sleepers).options(num_cpus=0, max_concurrency=100_000).remote(Store(folder), workers)
        ray.get(memo.progress.remote())
        steps = [Step("sleep", 1, {"number": number}) for number in range(NAPS * workers)]
        began = time.perf_counter()
        ray.get([memo.obtain.remote(step) for step in steps])
        took = time.perf_counter() - began
        ray.kill(memo)
    return {f"scheduling of sleeping steps, {workers} workers": NAP * NAPS / took}


def rows() -> dict[str, float]:
    """Every figure by its name."""
    figures = cached(1_000) | shown(10_000)
    quiet()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for workers in (2, 8, 64):
            figures |= scheduling(workers)
    finally:
        ray.shutdown()
    return figures


def show(console: Console) -> dict[str, float]:
    """Measure and print."""
    figures = rows()
    table = Table("engine", "measured")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.3g}")
    console.print(table)
    return figures
