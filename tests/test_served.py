"""Who is let in to a tracking server, and the one line for who is not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldgrid.served import check_tracking, tracking_uri
from worldgrid.spec import ConfigError
from worldgrid.store import Store
from worldgrid.tracking import Tracker

from .servers import door, free_port, mlflow_server
from .synthetic import NAME, make

PLANTED = "planted-41b7c2"
CREDENTIALS = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": PLANTED}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but those that a test gives itself."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", *CREDENTIALS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def closed() -> Iterator[str]:
    """A door that our password does not open."""
    with door("http://127.0.0.1:1", "me", "another") as address:
        yield address


def test_a_file_needs_no_password(tmp_path: Path) -> None:
    assert check_tracking(tracking_uri(Store(tmp_path))) == ""


def test_without_a_password_a_closed_server_is_one_line(closed: str) -> None:
    with pytest.raises(ConfigError, match="wants a password; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        check_tracking(closed)


def test_a_wrong_password_is_one_line_that_does_not_repeat_it(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="does not take the password of user 'me'") as refused:
        check_tracking(closed)
    assert PLANTED not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_is_away_is_told_and_not_raised() -> None:
    assert "cannot be reached" in check_tracking(f"http://127.0.0.1:{free_port()}")


def test_a_password_in_the_servers_address_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://me:{PLANTED}@tracking.example")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD fit") as refused:
        tracking_uri(Store(tmp_path))
    assert PLANTED not in str(refused.value)


@pytest.mark.parametrize("words", [["run", "grid.yaml"], ["track", NAME]], ids=lambda words: words[0])
def test_a_command_without_the_password_ends_in_one_line_and_starts_nothing(
    words: list[str], closed: str, tmp_path: Path
) -> None:
    (tmp_path / "grid.yaml").write_text("base:\n  env: {kind: point, size: 16}\n  encoder: {kind: state}\n")
    environment = os.environ | {"MLFLOW_TRACKING_URI": closed}
    command = [sys.executable, "-m", "worldgrid.cli", *words, "--store", str(tmp_path / "store")]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"worldgrid: tracking server {closed}: wants a password;")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.glob("store/grids/*"))


@pytest.mark.slow
def test_with_the_password_everything_is_written_and_the_password_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path / "store")
    made.finish_all()
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    served = tmp_path / "served"
    served.mkdir()
    where = ("--backend-store-uri", f"sqlite:///{served}/runs.db", "--artifacts-destination", str(served / "artifacts"))
    with mlflow_server(free_port(), *where) as server, door(server, "me", PLANTED) as address:
        assert check_tracking(address) == ""
        Tracker(made.store, NAME, address).sync()
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(b"success_rate" in content for content in kept) >= len(made.trials)
    assert not [content for content in kept if PLANTED.encode() in content]
