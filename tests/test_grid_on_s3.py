"""A grid whose store is on S3, on nodes that share no disk, while the server fails, hangs, breaks off and goes away."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worldgrid.grid import read_grid
from worldgrid.store import CACHE, Store

from .buckets import NAME, Door, served

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GRID = """
# Does a grid survive its server?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 100, steps: 50, keep: 5, shard: 50, policy: {kind: uniform}}
  train:     {epochs: 4, batch: 64, frames: 3, lr: 3e-3, publish: 2}
  mpc:       {horizon: 2, execute: 1, steps: 10, context: 1}
  evaluate:  {episodes: 8, batch: 4}
axes:
  train.seed: [0, 1, 2]
  planner:
    - {kind: cem, samples: 32, iterations: 4, elites: 8}
    - {kind: mppi, samples: 32, iterations: 4, elites: 8}
    - {kind: random, samples: 64}
    - {kind: gd, iterations: 10}
scale:
  train: {workers: 2, cpus: 1.5}
  evaluate: {workers: [0, 2], cpus: 0.5}
  retries: 10
  trials: 12
""".lstrip()
LIMIT_SECONDS = 600


def run(file: Path, store: str, *overrides: str, **environment: str) -> None:
    """The command line, as on a machine that looks like this."""
    here = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "worldgrid.cli", "run", str(file), *overrides, "--store", store]
    said = subprocess.run(
        command, capture_output=True, text=True, env=here | environment, timeout=LIMIT_SECONDS, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@contextmanager
def nodes(folder: Path) -> Iterator[str]:
    """A cluster of three nodes whose mirrors of the store are not the same folder; too small for both ranks on one."""
    from worldgrid.cli import quiet  # before ray is imported

    quiet()
    from ray.cluster_utils import Cluster

    def own(number: int) -> dict[str, str]:
        return {CACHE: str(folder / f"node-{number}"), "RAY_AUTH_MODE": "disabled"}

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "env_vars": own(0)}
    )
    try:
        for number in (1, 2):
            cluster.add_node(num_cpus=2, env_vars=own(number))
        yield cluster.address
    finally:
        cluster.shutdown()


def disturb(door: Door, over: threading.Event) -> None:
    """Be a bad server until the grid is through."""
    rng = random.Random(0)
    door.hanging = 1
    while not over.wait(rng.uniform(1.0, 4.0)):
        match rng.choice(["failing", "dropping", "cutting", "away"]):
            case "away":
                door.shut()
                over.wait(3.0)
                door.open()
            case what:
                setattr(door, what, 3)
                over.wait(1.0)
                setattr(door, what, 0)  # else who asks seldom would meet nothing else


def results(store: Store, file: Path) -> dict[str, bytes]:
    """Weights and episodes of a grid."""
    found = {}
    for step in read_grid(file).steps():
        folder = store.folder(step.key)
        kept = [*folder.glob("epoch-*"), *folder.glob("episodes.parquet")]
        found |= {f"{step.key}/{path.name}": path.read_bytes() for path in kept}
    return found


def test_a_grid_on_s3_ends_as_one_on_disk_whatever_its_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    file = tmp_path / "served.yaml"
    file.write_text(GRID)
    run(file, str(tmp_path / "disk"), "scale.train.cpus=0.5")
    over = threading.Event()
    with served() as door, nodes(tmp_path) as address:
        server = threading.Thread(target=disturb, args=(door, over))
        server.start()
        try:
            run(file, f"s3://{NAME}/study", RAY_ADDRESS=address, **{CACHE: str(tmp_path / "driver")})
        finally:
            over.set()
            server.join()
        monkeypatch.setenv(CACHE, str(tmp_path / "reader"))
        found = results(Store(f"s3://{NAME}/study"), file)
    assert all(door.met[what] for what in ("failing", "dropping", "hanging")), door.met
    assert {path.name for path in tmp_path.glob("node-*")} >= {"node-1", "node-2"}
    expected = results(Store(tmp_path / "disk"), file)
    assert sorted(found) == sorted(expected)
    assert len(found) == 3 * 2 + 12
    assert [name for name, content in found.items() if content != expected[name]] == []
