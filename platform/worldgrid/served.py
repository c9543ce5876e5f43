"""Where a store's runs are tracked: a server that somebody runs, or an SQLite file that can be served."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from worldgrid.spec import ConfigError
from worldgrid.store import Store

SERVED = ("http://", "https://")
"""How the address of a server begins."""


SECONDS = 10.0
"""A server that says nothing for so long cannot be reached."""


def tracking_uri(store: Store) -> str:
    """`$MLFLOW_TRACKING_URI`, else an SQLite file in the store. Raises ConfigError for a password in an address."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow' / 'mlflow.db'}"
    if uri.startswith(SERVED) and "@" in urlsplit(uri).netloc:
        raise ConfigError(
            "MLFLOW_TRACKING_URI holds a user or a password; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD fit"
        )
    return uri


def check_tracking(uri: str) -> str:
    """A line that says why a tracking server cannot be used now, else nothing; a file needs no asking.

    Raises ConfigError in one line where it does not let us in with the credentials that MLflow finds here.
    """
    if not uri.startswith(SERVED):
        return ""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    ours, path = get_default_host_creds(uri), "/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        answer = http_request(ours, path, "GET", max_retries=0, timeout=SECONDS, raise_on_status=False)
    except MlflowException as error:
        return f"tracking server {uri}: cannot be reached: {' '.join(str(error).split())[:200]}"
    if answer.status_code == 401:
        given = f"does not take the password of user '{ours.username}'" if ours.username else "wants a password"
        raise ConfigError(f"tracking server {uri}: {given}; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD fit")
    if answer.status_code == 403:
        raise ConfigError(f"tracking server {uri}: refuses us: {' '.join(answer.text.split())[:200]}")
    return "" if answer.status_code == 200 else f"tracking server {uri}: answers with HTTP status {answer.status_code}"


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
