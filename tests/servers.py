"""Real servers for tests: MLflow, PostgreSQL and S3 as processes on loopback, and a door that asks for a password."""

from __future__ import annotations

import base64
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 180.0
"""Seconds that a server may take to come up on a busy machine."""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], address: str, extra: Mapping[str, str] | None = None) -> Iterator[str]:
    """A process that answers at `address` until the block ends."""
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=quiet | (extra or {}), start_new_session=True, **streams)
    try:
        _wait(process, address)
        yield "/".join(address.split("/")[:3])
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server of {address} ended by itself"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
        else:
            return
    raise TimeoutError(address)


def mlflow_server(port: int, *options: str, extra: Mapping[str, str] | None = None) -> object:
    """An MLflow server."""
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *options, *place]
    return serving(command, f"http://127.0.0.1:{port}/health", extra)


def s3_server(port: int) -> object:
    """An S3 endpoint."""
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return serving(command, f"http://127.0.0.1:{port}/moto-api/data.json")


@contextmanager
def door(address: str, user: str, password: str) -> Iterator[str]:
    """The address of a proxy that asks for a user and a password, as `cluster/services/nginx.conf` does."""
    wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    class Door(http.server.BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != wanted:
                self.answer(401, "text/html", b"<h1>401 Authorization Required</h1>")
                return
            kind = {"Content-Type": self.headers.get("Content-Type") or "application/octet-stream"}
            request = urllib.request.Request(address + self.path, body or None, kind, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as said:
                    self.answer(said.status, said.headers["Content-Type"], said.read())
            except urllib.error.HTTPError as said:
                self.answer(said.code, said.headers["Content-Type"], said.read())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on

        def answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind or "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
