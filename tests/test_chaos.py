"""Whatever is killed, a grid ends with the store of an undisturbed run.

Every kind of process gets its share of the kills, drivers with all of their cluster among them; rare kinds are waited
for while the grid goes on. `CHAOS_KILLS=500 CHAOS_SEED=3 make chaos` kills longer, and in another order.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.soak]

KILLS = int(os.environ.get("CHAOS_KILLS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))
LIMIT_SECONDS = float(os.environ.get("CHAOS_LIMIT", "3600"))
SHARES = {
    "driver": 0.075,
    **dict.fromkeys(("ray::Memo", "ray::Pool", "ray::Tracker"), 0.2),
    **dict.fromkeys(("ray::Worker", "ray::ImplicitFunc"), 0.15),
    "ray::RayTrainWorker": 0.075,
    **dict.fromkeys(("ray::TrainController", "ray::train", "ray::collect", "ray::encode", "ray::tasks"), 0.05),
}
"""How processes of a grid begin their titles, and the most kills that each kind gets, in parts of `KILLS`: actors,
trials, worker groups, and steps by their keys. A driver's whole cluster goes with it."""
WANTED = {"driver", "ray::Memo", "ray::Pool", "ray::Tracker", "ray::Worker", "ray::RayTrainWorker"}
"""Kinds that must have been killed before the test ends: without them it tells nothing."""

GRID = """
# Does a grid survive?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 200, steps: 50, keep: 5, shard: 50, policy: {kind: uniform}}
  train:     {epochs: 20, batch: 64, frames: 3, lr: 3e-3, publish: 10}
  mpc:       {horizon: 2, execute: 1, steps: 10, context: 1}
  evaluate:  {episodes: 16, batch: 2}
axes:
  train.seed: [0, 1, 2]
  planner:
    - {kind: cem, samples: 32, iterations: 8, elites: 8}
    - {kind: mppi, samples: 32, iterations: 8, elites: 8}
    - {kind: random, samples: 64}
    - {kind: gd, iterations: 20}
scale:
  train: {workers: 1, cpus: 0.5}
  evaluate: {workers: [0, 2], cpus: 0.5, attempts: 1000}
  retries: 1000
  trials: 12
""".lstrip()


def start(file: Path, store: Path) -> subprocess.Popen[bytes]:
    """The command line as a user's shell starts it, in a session of its own."""
    quiet = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "worldgrid.cli", "run", str(file), "--store", str(store)]
    with (file.parent / f"{store.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=quiet, start_new_session=True)


def end(driver: subprocess.Popen[bytes], cluster: list[psutil.Process]) -> None:
    """Kill a driver and all of its cluster, as a machine does that loses its power."""
    for process in (driver, *cluster):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    driver.wait()
    deadline = time.monotonic() + 60
    while any(runs(process) for process in cluster) and time.monotonic() < deadline:
        time.sleep(0.1)


def runs(process: psutil.Process) -> bool:
    """Whether it is more than an entry that nobody has read yet."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def titled(processes: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """The processes that may be killed, by kind."""
    found: dict[str, list[psutil.Process]] = {}
    for process in processes:
        with suppress(psutil.Error):
            title = (process.cmdline() or [""])[0]
            for kind in (kind for kind in SHARES if title.startswith(kind)):
                found.setdefault(kind, []).append(process)
    return found


def children(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(driver.pid).children(recursive=True)
    except psutil.Error:
        return []


def disturb(driver: subprocess.Popen[bytes], rng: random.Random, hit: Counter[str]) -> None:
    """Kill what is there and had least of its share, a kind at a time, until the driver ends."""
    while driver.poll() is None:
        time.sleep(rng.uniform(0.2, 2.0))
        cluster = children(driver)
        prey = titled(cluster)
        if not prey:
            continue
        prey["driver"] = []
        shares = {kind: hit[kind] / (SHARES[kind] * KILLS) for kind in prey}
        left = [kind for kind, share in shares.items() if share < 1]
        if not left:
            continue
        kind = min(left, key=lambda kind: (shares[kind], rng.random()))
        hit[kind] += 1
        if kind == "driver":
            end(driver, cluster)
            return
        with suppress(psutil.NoSuchProcess):
            rng.choice(prey[kind]).kill()


def survive(file: Path, store: Path, rng: random.Random, hit: Counter[str], deadline: float) -> None:
    """Run a grid again and again until it is through, killing all the while."""
    while True:
        assert time.monotonic() < deadline, (
            f"not through after {hit}: {(file.parent / f'{store.name}.log').read_text()}"
        )
        driver = start(file, store)
        disturb(driver, rng, hit)
        if driver.returncode == 0:
            return


def results(store: Path) -> dict[str, bytes]:
    """All that a grid computed: weights, latents, episodes; and what each step was."""
    kept = [*store.glob("train-*/epoch-*"), *store.glob("encode-*/*.npy"), *store.glob("evaluate-*/episodes.parquet")]
    recipes = {
        str(path.relative_to(store)): json.dumps(json.loads(path.read_text())["recipe"]).encode()
        for path in store.glob("*-*/done.json")
    }
    return recipes | {str(path.relative_to(store)): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chaos") / "chaos.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path) -> dict[str, bytes]:
    store = file.parent / "undisturbed"
    driver = start(file, store)
    assert driver.wait(timeout=LIMIT_SECONDS) == 0, (file.parent / "undisturbed.log").read_text()
    return results(store)


def check(store: Path, undisturbed: dict[str, bytes]) -> None:
    """The same steps with the same content, and every episode once."""
    found = results(store)
    assert sorted(found) == sorted(undisturbed)
    assert [name for name, content in found.items() if content != undisturbed[name]] == []
    for table in store.glob("evaluate-*/episodes.parquet"):
        assert pq.read_table(table)["episode"].to_pylist() == list(range(16))


def test_a_grid_under_random_kills_ends_with_the_store_of_an_undisturbed_one(
    file: Path, undisturbed: dict[str, bytes]
) -> None:
    rng, hit, rounds = random.Random(SEED), Counter[str](), 0
    deadline = time.monotonic() + LIMIT_SECONDS
    while hit.total() < KILLS or not hit.keys() >= WANTED:
        store = file.parent / f"disturbed-{rounds}"
        survive(file, store, rng, hit, deadline)
        check(store, undisturbed)
        rounds += 1
    print(f"{hit.total()} kills in {rounds} rounds: {dict(hit)}")  # noqa: T201


def test_two_drivers_on_one_grid_share_its_steps_and_both_end_well(file: Path, undisturbed: dict[str, bytes]) -> None:
    store = file.parent / "shared"
    drivers = [start(file, store) for _ in range(2)]
    assert [driver.wait(timeout=LIMIT_SECONDS) for driver in drivers] == [0, 0]
    check(store, undisturbed)
