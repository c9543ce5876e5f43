"""A cluster on this machine ends exactly what it started, however its start went."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worldgrid import nodes
from worldgrid.clusters import find, state_path
from worldgrid.spec import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as somebody:
        somebody.bind((nodes.HOST, 0))
        somebody.listen()
        yield int(somebody.getsockname()[1])


def sleeper(mark: str | None, *, deaf: bool = False) -> subprocess.Popen[bytes]:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else ""
    environment = os.environ | ({nodes.MARK: mark} if mark else {})
    script = f"import signal, time; {ignore}print(flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    return process


def test_stopping_ends_what_carries_the_mark_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "STOP_SECONDS", 1.0)
    temporary = tmp_path / "ray"
    temporary.mkdir()
    state_path().mkdir(parents=True)
    (state_path() / "mark").write_text(f"ours-{os.getpid()}\n{temporary}\n")
    ours, deaf = sleeper(f"ours-{os.getpid()}"), sleeper(f"ours-{os.getpid()}", deaf=True)
    theirs, unmarked = sleeper("theirs"), sleeper(None)
    try:
        assert nodes.stop() == 2
        assert ours.wait(10) == -15
        assert deaf.wait(10) == -9
        assert theirs.poll() is None
        assert unmarked.poll() is None
    finally:
        for process in (ours, deaf, theirs, unmarked):
            process.kill()
            process.wait()
    assert not state_path().exists()
    assert not temporary.exists()


def test_without_a_cluster_there_is_nothing_to_stop() -> None:
    with pytest.raises(ConfigError, match="nothing to stop"):
        nodes.stop()


def test_a_second_cluster_is_refused() -> None:
    nodes._claim(state_path())[1].rmdir()
    with pytest.raises(ConfigError, match="started before; `worldgrid cluster stop` ends it"):
        nodes.start(3, 1, "store", services=False)


def test_of_two_that_start_one_at_once_one_is_refused() -> None:
    def claim() -> str:
        try:
            return nodes._claim(state_path())[0]
        except ConfigError:
            return ""

    with ThreadPoolExecutor(8) as several:
        marks = [mark for mark in several.map(lambda _: claim(), range(8)) if mark]
    assert len(marks) == 1
    assert (state_path() / "mark").read_text().startswith(marks[0])
    assert {path.name for path in state_path().parent.iterdir()} == {state_path().name}
    assert (state_path() / "token").stat().st_mode & 0o777 == 0o600
    nodes.stop()


def test_what_a_restarted_machine_left_behind_is_removed_by_stop() -> None:
    _, temporary = nodes._claim(state_path())
    with pytest.raises(ConfigError, match="not up, or was broken off; `worldgrid cluster stop` ends it"):
        find("local")
    assert nodes.stop() == 0
    assert not temporary.exists()
    with pytest.raises(ConfigError, match="`worldgrid cluster start` makes one"):
        find("local")


@pytest.mark.slow
@pytest.mark.parametrize("services", [False, True], ids=["ray", "mlflow"])
def test_where_a_port_is_taken_there_is_one_line_and_nothing_is_left(
    services: bool, taken: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports = iter([nodes.free_port(), nodes.free_port(), taken] if services else [taken])
    free = nodes.free_port
    monkeypatch.setattr(nodes, "free_port", lambda: next(ports, None) or free())
    monkeypatch.setattr(nodes, "ATTEMPTS", 1)
    with pytest.raises(
        ConfigError, match=f"the local cluster's {'MLflow' if services else 'head'} does not start: "
    ) as said:
        nodes.start(2, 1, str(tmp_path / "store"), services=services)
    assert "\n" not in str(said.value)
    assert not state_path().exists()


@pytest.mark.slow
def test_a_start_that_is_killed_half_way_is_ended_by_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worldgrid.cli", "cluster", "start", "--nodes=2", f"--store={tmp_path / 'store'}"]
    starting = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (state_path() / "node-1.log").exists():
        assert starting.poll() is None
        time.sleep(0.1)
    starting.kill()
    starting.wait()
    mark, temporary = (state_path() / "mark").read_text().split()
    assert nodes.stop() > 0
    assert nodes.marked(mark) == []
    assert not Path(temporary).exists()
