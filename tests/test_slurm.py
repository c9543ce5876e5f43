"""The SLURM script under stand-ins for SLURM's commands that start real processes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldgrid.nodes import marked

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "cluster" / "slurm.sh"
GRID = """
# Does it go on?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 60, steps: 50, keep: 5, policy: {kind: uniform}}
  train:     {epochs: 2, batch: 64, frames: 3}
  mpc:       {horizon: 2, execute: 1, steps: 4, context: 1}
  planner:   {kind: random, samples: 8}
  evaluate:  {episodes: 4, batch: 2}
scale: {train: {cpus: 0.5}, evaluate: {workers: [0, 1], cpus: 0.5}}
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose sbatch, srun and scontrol are the stand-ins, and whose processes end with the test."""
    for name in ("sbatch", "srun", "scontrol"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests" / "slurm.py"}" {name} "$@"\n')
        program.chmod(0o755)
    mark = f"slurm-{os.getpid()}"
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    yield os.environ | {
        "PATH": path,
        "SLURM_STANDIN": str(tmp_path),
        "SLURM_STANDIN_NEAR": str(tmp_path / "store" / "collect-*" / "done.json"),
        "WORLDGRID_STORE": str(tmp_path / "store"),
        "WORLDGRID_CLUSTER": mark,
        "WORLDGRID_RAY_OPTIONS": "--min-worker-port=0 --max-worker-port=0 --object-store-memory=100000000 "
        "--dashboard-agent-listen-port=0",
        "RAY_memory_monitor_refresh_ms": "0",
    }
    for pid in marked(mark):
        os.kill(pid, 9)
    shutil.rmtree(Path(tempfile.gettempdir()) / "wg-77", ignore_errors=True)


def submit(environment: dict[str, str], *words: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = ["sbatch", *words[:-1], str(script), *words[-1:]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_without_a_store_nothing_is_started(slurm: dict[str, str]) -> None:
    environment = {name: value for name, value in slurm.items() if name != "WORLDGRID_STORE"}
    ended = submit(environment, "grid.yaml")
    assert ended.returncode != 0
    assert "names the store" in ended.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_job_that_meets_its_limit_is_queued_again_and_ends_with_its_result(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    grid = tmp_path / "small.yaml"
    grid.write_text(GRID)
    ended = submit(slurm, "--nodes=2", "--cpus-per-task=1", str(grid))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "queued again and goes on" in said
    assert len(list((tmp_path / "store").glob("evaluate-*/done.json"))) == 1, said
    assert marked(slurm["WORLDGRID_CLUSTER"]) == []
    assert not (Path(tempfile.gettempdir()) / "wg-77").exists()
