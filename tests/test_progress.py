"""How far a grid is, for whoever asks, and what `worldgrid status` says of it."""

import io
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from worldgrid import cli, progress
from worldgrid.commands.status import SILENT_SECONDS, clock, headline, pace
from worldgrid.console import print_failures
from worldgrid.progress import Progress, Report, Snapshot, failures
from worldgrid.store import Store

from . import synthetic
from .test_price import grid

FAILED = Snapshot(
    {
        "train-a": Progress("train", "failed", "train-a: ValueError: no", 3.0, "logs/train-a.log"),
        "evaluate-a": Progress("evaluate", "failed", "train-a: ValueError: no"),
        "evaluate-b": Progress("evaluate", "done", seconds=5.0),
    }
)


def test_what_a_driver_leaves_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    snapshot = Snapshot(FAILED.steps, {"evaluate-b": {"episodes": 8, "successes": 3}}, (1, 2))
    progress.write(store, "grid", snapshot, began=5.0, ended=True)
    report = progress.read(store, "grid")
    assert report is not None
    assert (report.snapshot, report.began, report.ended) == (snapshot, 5.0, True)


def test_a_grid_of_which_no_driver_spoke_has_no_progress(tmp_path: Path) -> None:
    assert progress.read(Store(tmp_path), "grid") is None


def test_a_failure_is_told_once_with_the_trials_that_need_it() -> None:
    needs = {"one": {"train-a", "evaluate-a"}, "two": {"train-b", "evaluate-b"}, "three": {"train-a"}}
    (failed,) = failures(FAILED, needs)
    assert (failed.key, failed.cause, failed.log) == ("train-a", "train-a: ValueError: no", "logs/train-a.log")
    assert failed.trials == ("one", "three")


@pytest.mark.parametrize(
    ("silent", "ended", "said"),
    [
        (1.0, False, "running for 0:01:00"),
        (SILENT_SECONDS + 1, False, "stopped after 0:01:00; its driver was last heard 0:00:31 ago"),
        (3600.0, True, "ended after 0:01:00, 1:00:00 ago"),
    ],
)
def test_the_headline_says_whether_a_grid_runs(silent: float, ended: bool, said: str) -> None:
    now = time.time()
    assert headline(Report(Snapshot(), now - silent, now - silent - 60, ended)) == said


def test_a_clock_that_went_backwards_is_no_negative_time() -> None:
    assert clock(-5.0) == "0:00:00"


def test_the_time_left_goes_by_the_work_that_is_done() -> None:
    steps = {"train-a": Progress("train", "done", seconds=30.0), "train-b": Progress("train", "running")}
    report = Report(Snapshot(steps), said=160.0, began=100.0, ended=False)
    states = {"train-a": ("train", "done"), "train-b": ("train", "running"), "train-c": ("train", "waiting")}
    assert pace(report, states, {"train": [30.0]}) == ["time left: 0:02:00"]


def test_status_counts_steps_and_trials_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = synthetic.make(tmp_path)
    made.finish_all()
    first = made.trials[0]["evaluations"][0]["key"]
    made.store.remove(first)
    snapshot = Snapshot({first: Progress("evaluate", "failed", f"{first}: ValueError: no", 1.0, "logs/x.log")})
    progress.write(made.store, synthetic.NAME, snapshot, time.time() - 60, ended=True)
    monkeypatch.setattr(sys, "argv", ["worldgrid", "status", synthetic.NAME, "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "trials: 1 failed, 7 finished" in said
    assert f"failed: {first}: ValueError: no" in said
    assert "1 trials need it; log: logs/x.log" in said


def test_a_grid_ends_with_its_failures_their_logs_and_the_command_that_runs_the_rest() -> None:
    made = grid()
    training = made.trials[0].training.key
    ran = Snapshot({training: Progress("train", "failed", f"{training}: ValueError: no", 3.0, "logs/x.log")})
    said = Console(width=200, file=io.StringIO())
    print_failures(made, ran, "worldgrid run made.yaml", said)
    assert said.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        f"failed: {training}: ValueError: no",
        f"  needed by {made.trials[0].name} and 1 more of 4 trials; log: logs/x.log",
        "again, only what is missing: worldgrid run made.yaml",
    ]
