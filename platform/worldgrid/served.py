"""Where a store's runs are tracked: a server that somebody runs, or an SQLite file that can be served."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from worldgrid.spec import ConfigError
from worldgrid.store import Store

SERVED = ("http://", "https://")
"""How the address of a server begins."""


def tracking_uri(store: Store) -> str:
    """`$MLFLOW_TRACKING_URI`, else an SQLite file in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow' / 'mlflow.db'}"


def serve(store: Store, port: int) -> NoReturn:
    """Become the MLflow server of the store's runs, on 127.0.0.1; one process of it is enough for one person."""
    uri = tracking_uri(store)
    if uri.startswith(SERVED):
        raise ConfigError(f"MLFLOW_TRACKING_URI names a server that runs already; open {uri}")
    make_parent(uri)
    runs = ["--backend-store-uri", uri, "--default-artifact-root", artifacts_uri(store), "--no-serve-artifacts"]
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Its job runner would be eight more processes (0.7 GB) for features that nothing here uses.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "server", *runs, *address], quiet | os.environ)  # noqa: S606


def artifacts_uri(store: Store) -> str:
    """Where the artifacts of the store's own runs lie."""
    return (store.root / "mlflow" / "artifacts").as_uri()


def make_parent(uri: str) -> None:
    """Make the folder of an SQLite file."""
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
