"""Real servers for tests: MLflow, PostgreSQL and S3 as processes on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
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
