"""What works on this machine."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from worldgrid.doctor import Finding, Probe, examine, probes
from worldgrid.envs import ENVS
from worldgrid.store import Store

DYING = """
import os, time
from typing import ClassVar
from worldgrid.envs import EnvSpec

class Dying(EnvSpec):
    action_dim: ClassVar[int] = 1
    def tasks(self, seeds): ...
    def draw_tasks(self, seeds): ...
    def begin(self, tasks): ...
    def render(self, states): ...

class Crash(Dying):
    def explore(self, seeds):
        os.abort()

class Hang(Dying):
    def explore(self, seeds):
        time.sleep(60)
"""


@pytest.fixture
def dying(tmp_path: Path) -> dict[str, str]:
    """An environment in which there are envs that crash and hang their process."""
    (tmp_path / "dying.py").write_text(DYING)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}


def tried(words: tuple[str, ...], seconds: float = 60.0, **environment: str) -> Finding:
    return Probe("it", words, "mend it", environment=environment).run(seconds)


def test_what_works_says_so() -> None:
    assert tried(("env", "wall")) == Finding("it", "works", "drew 2 frames of 64 px and stepped", "", False)


def test_what_is_not_there_is_no_failure(tmp_path: Path) -> None:
    found = tried(("weights", "dinov2_vits14"), HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert found == Finding("it", "absent", "none of the study's encoders are on this machine", "mend it", False)


def test_an_env_whose_own_environment_is_not_made_is_no_failure(tmp_path: Path) -> None:
    (found,) = (probe for probe in probes(Store(tmp_path)) if probe.name == "env robosuite")
    line = replace(found, environment={"WORLDGRID_ROBOSUITE": str(tmp_path)}).run()
    assert (line.state, line.mend) == ("absent", "make robosuite, in the checkout")
    assert "`make robosuite` makes it" in line.said


def test_what_fails_says_why_and_what_mends_it() -> None:
    found = tried(("draw", "software"), MUJOCO_GL="no such thing")
    assert (found.state, found.mend) == ("fails", "mend it")
    assert "no such thing" in found.said


def test_a_probe_that_crashes_is_a_finding(dying: dict[str, str]) -> None:
    assert tried(("env", "dying:Crash"), **dying).said == "died of SIGABRT"


def test_a_probe_that_hangs_is_a_finding(dying: dict[str, str]) -> None:
    assert "no answer in" in tried(("env", "dying:Hang"), seconds=8, **dying).said


def test_every_env_is_tried(tmp_path: Path) -> None:
    kinds = {probe.words[1] for probe in probes(Store(tmp_path)) if probe.words[0] == "env"}
    assert kinds == set(ENVS.members)


def test_a_store_that_cannot_be_written_is_found_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    good, bad = (next(examine(Store(tmp_path / name))) for name in ("store", "file/store"))
    assert (good.state, bad.state, bad.needed) == ("works", "fails", True)
    assert not (tmp_path / "store").exists()


def test_room_on_the_disk_is_told(tmp_path: Path) -> None:
    (_, disk) = islice(examine(Store(tmp_path)), 2)
    assert disk.name == "disk"
    assert "free for" in disk.said


@pytest.mark.slow
@pytest.mark.ray
def test_the_command_says_that_what_the_quickstart_needs_works(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"COLUMNS": "160"}
    command = [sys.executable, "-m", "worldgrid.cli", "doctor", "--store", str(tmp_path / "store")]
    ran = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "all of it works" in ran.stdout
