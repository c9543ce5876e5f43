"""The command line: what it refuses, and a whole grid from nothing to its table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from worldgrid import cli

GRID = """
# Does a tiny grid run from end to end?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 100, steps: 50, keep: 5, policy: {kind: uniform}}
  train:     {epochs: 2, batch: 64, frames: 3, lr: 3e-3}
  mpc:       {horizon: 2, execute: 1, steps: 10, context: 1}
  evaluate:  {episodes: 8, batch: 4}
axes:
  planner:
    - {kind: cem, samples: 32, iterations: 4, elites: 8}
    - {kind: gd, iterations: 10}
baseline: {planner: cem}
scale:
  train: {workers: 2, cpus: 0.5}
  evaluate: {workers: [0, 2], cpus: 0.5}
""".lstrip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(GRID)
    return path


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The one line a command ends in."""
    monkeypatch.setattr(sys, "argv", ["worldgrid", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("kind: cem", "kind: cme"), "unknown planner 'cme'; did you mean 'cem'?"),
        (("epochs: 2", "epcohs: 2"), "Train has no 'epcohs'; did you mean 'epochs'?"),
        (("batch: 64", "batch: many"), "train.batch: given 'many'; a whole number fits"),
        (("  planner:", "  planer:"), "'planer' names no section of a trial; did you mean 'planner'?"),
        (("axes:\n", "axes:\n  train.seed: []\n"), "axes.train.seed: given []"),
        (("axes:\n", "axes:\n  twice: {a: {train.seed: 0}, b: {}}\n"), "two trials are the same"),
    ],
)
@pytest.mark.parametrize("command", ["show", "run"])
def test_a_wrong_grid_is_one_line_and_starts_nothing(
    command: str,
    wrong: tuple[str, str],
    said: str,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file.write_text(GRID.replace(*wrong, 1))
    store = file.parent / "store"
    assert said in refused(capsys, monkeypatch, command, str(file), "--store", str(store))
    assert not store.exists()


def test_a_file_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be read" in refused(capsys, monkeypatch, "run", str(tmp_path / "no.yaml"))


def test_a_store_that_cannot_be_written_is_one_line(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be written" in refused(capsys, monkeypatch, "run", str(file), "--store", str(file / "store"))


def test_a_report_of_a_grid_that_never_ran_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has no grid 'tiny'" in refused(capsys, monkeypatch, "report", "tiny", "--store", str(tmp_path))


def test_show_lists_trials_and_steps_and_starts_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = file.parent / "store"
    monkeypatch.setattr(sys, "argv", ["worldgrid", "show", str(file), "--store", str(store)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "2 trials" in capsys.readouterr().out
    assert not store.exists()


def worldgrid(*words: str) -> subprocess.Popen[str]:
    """The command line as a user's shell starts it, in a session of its own."""
    command = [sys.executable, "-m", "worldgrid.cli", *words]
    quiet = os.environ | {"COLUMNS": "160"}
    quiet.pop("RAY_ADDRESS", None)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, env=quiet, start_new_session=True, **streams)


def ran(file: Path, store: Path) -> str:
    process = worldgrid("run", str(file), "--store", str(store))
    said = process.communicate(timeout=400)[0]
    assert process.returncode == 0, said
    return said


def tables(store: Path) -> dict[str, bytes]:
    """Every episode table, by step."""
    return {path.parent.name: path.read_bytes() for path in store.glob("evaluate-*/episodes.parquet")}


@pytest.mark.ray
def test_a_grid_runs_from_nothing_to_its_table_and_again_from_the_store(file: Path) -> None:
    store = file.parent / "store"
    said = ran(file, store)
    assert "steps run: 1 of 1 collect, 1 of 1 encode, 1 of 1 train, 1 of 1 tasks, 2 of 2 evaluate" in said
    done = sorted(path.parent.name for path in store.glob("*/done.json"))
    assert [name.partition("-")[0] for name in done] == ["collect", "encode", "evaluate", "evaluate", "tasks", "train"]
    for path in store.glob("evaluate-*/episodes.parquet"):
        assert pq.read_table(path)["episode"].to_pylist() == list(range(8))
    assert (store / "reports" / "tiny" / "report.html").exists()

    committed = {name: (store / name / "done.json").read_bytes() for name in done}
    assert "nothing was run" in ran(file, store)
    assert {name: (store / name / "done.json").read_bytes() for name in done} == committed

    record = json.loads((store / "grids" / "tiny.json").read_text())
    assert len(record["trials"]) == 2


@pytest.mark.ray
@pytest.mark.slow
def test_a_stopped_grid_goes_on_and_ends_with_the_same_numbers(file: Path) -> None:
    whole, stopped = file.parent / "whole", file.parent / "stopped"
    ran(file, whole)
    process = worldgrid("run", str(file), "--store", str(stopped))
    deadline = time.monotonic() + 300
    while not list(stopped.glob("train-*/metrics.jsonl")):
        assert time.monotonic() < deadline, "training never began"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert "goes on from here" in said
    ran(file, stopped)
    assert tables(stopped) == tables(whole)
