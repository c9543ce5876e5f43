"""A cluster on this machine ends exactly what it started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldgrid import nodes
from worldgrid.clusters import state_path
from worldgrid.spec import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


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
    state_path().mkdir(parents=True)
    with pytest.raises(ConfigError, match="`worldgrid cluster stop` ends it"):
        nodes.start(3, 1, "store", services=False)
