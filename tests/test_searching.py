"""A searched grid from its file to its table: who is behind is stopped, and the same command changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldgrid.results import read_grid
from worldgrid.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GRID = """
# Which rate?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 100, steps: 50, keep: 5, policy: {kind: uniform}}
  train:     {epochs: 6, batch: 64, frames: 3}
  planner:   {kind: cem, samples: 32, iterations: 4, elites: 8}
  mpc:       {horizon: 2, execute: 1, steps: 10, context: 1}
  evaluate:  {episodes: 8, batch: 4}
search:
  trials: 5
  spaces: {train.lr: {loguniform: [1e-6, 1e-2]}}
  rungs: [1, 3]
  factor: 2
scale:
  train: {workers: 1, cpus: 0.5}
  evaluate: {workers: [0, 2], cpus: 0.5}
""".lstrip()


def worldgrid(*words: str) -> str:
    quiet = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    said = subprocess.run(
        [sys.executable, "-m", "worldgrid.cli", *words],
        capture_output=True,
        text=True,
        env=quiet,
        timeout=900,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def run(file: Path, store: Path, *overrides: str) -> str:
    return worldgrid("run", str(file), *overrides, "--store", str(store))


def states(store: Path) -> dict[str, str]:
    return {trial.name: trial.state for trial in read_grid(Store(store), "searched").trials}


def commits(store: Path) -> dict[str, float]:
    return {path.parent.name: json.loads(path.read_text())["finished"] for path in store.glob("*-*/done.json")}


def test_who_is_behind_is_stopped_and_the_same_command_changes_nothing(tmp_path: Path) -> None:
    file, store = tmp_path / "searched.yaml", tmp_path / "store"
    file.write_text(GRID)
    run(file, store)
    first, finished = states(store), commits(store)
    assert sorted(first.values()) == ["finished", "finished", "stopped", "stopped", "stopped"]
    assert sum(key.startswith("train-") for key in finished) == 2
    assert sorted(len(list(folder.glob("epoch-*"))) for folder in store.glob("train-*")) == [1, 1, 3, 6, 6]
    said = worldgrid("status", "searched", "--store", str(store))
    assert all(count in said for count in ("2 finished", "3 stopped"))
    run(file, store)
    assert (states(store), commits(store)) == (first, finished)
    run(file, store, "scale.trials=2", "scale.evaluate.workers=[0, 1]")
    assert commits(store) == finished
