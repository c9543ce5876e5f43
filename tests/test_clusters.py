"""Clusters by name, and the one line for each thing that keeps one from being used."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worldgrid.clusters import Cluster, find
from worldgrid.nodes import free_port
from worldgrid.spec import ConfigError

PLANTED = "planted-0f1e2d3c"
TOKEN = "t0ken"

Names = Callable[[str], Path]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Write clusters.yaml."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "WORLDGRID_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def write(text: str) -> Path:
        path = tmp_path / "worldgrid" / "clusters.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def dashboard() -> Iterator[str]:
    """The address of something that asks for a token and then says it runs Ray 1.0."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            self.send_response(200 if given == f"Bearer {TOKEN}" else 403 if given else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"ray_version": "1.0"}).encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def at(address: str, tmp_path: Path, token: str | None) -> Cluster:
    if token is None:
        return Cluster(address=address, store="s3://b/p")
    path = tmp_path / "token"
    path.write_text(f"{token}\n")
    return Cluster(address=address, store="s3://b/p", token=path)


def test_a_cluster_is_found_by_its_name(names: Names) -> None:
    names("prod: {address: 'http://h:8265/', store: s3://b/p, tracking: 'http://m:5000'}")
    assert find("prod") == Cluster(address="http://h:8265", store="s3://b/p", tracking="http://m:5000")


def test_an_unknown_name_says_which_there_are(names: Names) -> None:
    names("prod: {address: 'http://h:8265', store: s3://b/p}")
    with pytest.raises(ConfigError, match=r"unknown cluster 'prd'; did you mean 'prod'\?"):
        find("prd")


def test_without_a_name_the_environment_names_it(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--cluster NAME fits"):
        find(None)
    monkeypatch.setenv("RAY_ADDRESS", "http://h:8265")
    with pytest.raises(ConfigError, match="WORLDGRID_STORE must name its store"):
        find(None)
    monkeypatch.setenv("WORLDGRID_STORE", "/shared/store")
    assert find(None).store == "/shared/store"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{store: s3://b/p}", "address: missing"),
        ("{address: 'h:6379', store: s3://b/p}", "http://HOST:PORT fits"),
        ("{address: 'http://h:1', store: here}", "the whole path of a folder"),
        ("{address: 'http://h:1', store: s3://b/p, sotre: x}", "did you mean 'store'?"),
        ("here", "a section of settings"),
    ],
)
def test_a_wrong_cluster_is_one_line(section: str, said: str, names: Names) -> None:
    names(f"prod: {section}")
    with pytest.raises(ConfigError) as refused:
        find("prod")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["address", "tracking"])
def test_a_password_in_an_address_is_refused_and_not_repeated(name: str, names: Names) -> None:
    section = {"address": "http://h:1", "store": "s3://b/p", name: f"http://me:{PLANTED}@h:1"}
    names(json.dumps({"prod": section}))
    with pytest.raises(ConfigError) as refused:
        find("prod")
    assert f"{name} holds a user or a password" in str(refused.value)
    assert PLANTED not in str(refused.value)


def test_there_is_no_local_cluster_until_one_is_started(names: Names) -> None:
    with pytest.raises(ConfigError, match="`worldgrid cluster start` makes one"):
        find("local")


@pytest.mark.parametrize(
    ("token", "said"),
    [(None, "wants a token"), (PLANTED, "is wrong"), (TOKEN, "runs Ray 1.0; 2.60.0 fits")],
)
def test_token_and_version_are_one_line_each(
    token: str | None, said: str, dashboard: str, tmp_path: Path, names: Names
) -> None:
    with pytest.raises(ConfigError) as refused:
        at(dashboard, tmp_path, token).check("2.60.0")
    assert said in str(refused.value)
    assert PLANTED not in str(refused.value)


def test_a_dead_address_is_one_line_at_once(names: Names) -> None:
    with pytest.raises(ConfigError, match="cannot be reached"):
        Cluster(address=f"http://127.0.0.1:{free_port()}", store="s3://b/p").check("2.60.0")


def test_a_token_of_the_environment_does_when_the_cluster_names_no_file(
    dashboard: str, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    Cluster(address=dashboard, store="s3://b/p").check("1.0")
