"""The load of a training's machine, noted now and then."""

import json
from pathlib import Path

import pytest

from worldgrid import vitals
from worldgrid.vitals import SYSTEM, Vitals


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vitals, "SECONDS", 0.0)
    return tmp_path


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / SYSTEM).read_text().splitlines()]


def test_a_note_says_what_the_process_and_the_machine_use(noted: Path) -> None:
    Vitals(noted, 0).write(10)
    (line,) = lines(noted)
    assert line["step"] == 10
    assert 0 < line["system/process_memory_megabytes"] < line["system/system_memory_usage_megabytes"]
    assert 0 <= line["system/cpu_utilization_percentage"] <= 100
    assert line["system/steps_per_second"] > 0


def test_notes_of_steps_that_are_done_again_are_dropped(noted: Path) -> None:
    first = Vitals(noted, 0)
    for step in (10, 20, 30):
        first.write(step)
    Vitals(noted, 20).write(25)
    assert [line["step"] for line in lines(noted)] == [10, 20, 25]


def test_notes_are_rare(tmp_path: Path) -> None:
    often = Vitals(tmp_path, 0)
    for step in range(1000):
        often.write(step)
    assert lines(tmp_path) == []
