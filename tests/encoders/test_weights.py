"""Weights from outside: fetched without waiting, refused in one line."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

FETCH = """
import sys
from worldgrid.encoders import ENCODERS
from worldgrid.spec import ConfigError
try:
    print(ENCODERS.parse({"kind": "timm", "model": sys.argv[1]}).frozen().content)
except ConfigError as error:
    print(error)
"""


def fetch(model: str, home: Path, **environment: str) -> str:
    """What asking for a model's weights says, in a process that reads these environment variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    told = subprocess.run(
        [sys.executable, "-c", FETCH, model],
        env=plain | {"HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


class Gate(BaseHTTPRequestHandler):
    """A Hugging Face that gives nothing without a token."""

    def do_HEAD(self) -> None:
        self.send_response(401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def gate() -> Iterator[str]:
    """The address of a `Gate`."""
    server = HTTPServer(("127.0.0.1", 0), Gate)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_without_a_network_it_says_at_once_which_file_to_put_where(tmp_path: Path) -> None:
    began = time.monotonic()
    said = fetch("dinov2_vits14", tmp_path, HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert time.monotonic() - began < 20
    assert "weights of timm/vit_small_patch14_dinov2.lvd142m are not on this machine" in said
    assert "put its model.safetensors into a folder and name the folder in encoder.checkpoint" in said
    assert "where gated set HF_TOKEN" in said
    assert len(said.splitlines()) == 1


def test_offline_it_does_not_try(tmp_path: Path) -> None:
    assert "HF_HUB_OFFLINE is set" in fetch("dinov2_vits14", tmp_path, HF_HUB_OFFLINE="1")


def test_gated_weights_ask_for_a_token(tmp_path: Path, gate: str) -> None:
    said = fetch("dinov3_vitl16", tmp_path, HF_ENDPOINT=gate, NO_PROXY="127.0.0.1")
    assert "vit_large_patch16_dinov3.lvd1689m are not on this machine and are gated; set HF_TOKEN" in said
    assert "or put its model.safetensors into a folder and name the folder in encoder.checkpoint" in said
    assert len(said.splitlines()) == 1


def test_weights_in_the_cache_need_no_network(tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40) / "model.safetensors").write_bytes(b"abc")
    said = fetch("dinov2_vits14", tmp_path, HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert said == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of abc (FIPS 180-2)
