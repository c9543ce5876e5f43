"""Clusters: where grids are submitted to, by name in `~/.config/worldgrid/clusters.yaml` or by `RAY_ADDRESS`.

A cluster is its address, its store, its tracking server and the file that holds its token. Secrets are in none of them:
whoever needs one (a bucket's keys, a tracking server's password) finds it in its own environment.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import field_validator

from worldgrid.spec import ConfigError, Spec, parse, read_text, read_yaml, suggest

SECONDS = 10.0
"""A cluster that says nothing for so long cannot be reached."""
LOCAL = "local"
"""The name of the cluster that `worldgrid cluster start` makes on this machine."""


class Cluster(Spec):
    """One cluster."""

    address: str
    """Ray's dashboard and Jobs API: `http://127.0.0.1:8265`."""
    store: str
    """The store as the cluster's nodes name it: `s3://bucket/prefix`, or a folder that all of them share."""
    tracking: str | None = None
    """The MLflow server as the nodes reach it; None: a file in the store."""
    token: Path | None = None
    """File with Ray's authentication token; None: `RAY_AUTH_TOKEN` or `RAY_AUTH_TOKEN_PATH`, else no token."""

    @field_validator("address", "tracking")
    @classmethod
    def _plain(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("http://HOST:PORT fits")
        return address.rstrip("/")

    @field_validator("store")
    @classmethod
    def _everywhere(cls, store: str) -> str:
        if not store.startswith("s3://") and not Path(store).is_absolute():
            raise ValueError("s3://bucket/prefix fits, or the whole path of a folder that all nodes share")
        return store

    def secret(self) -> str | None:
        """The token, from its file or from the environment; raises ConfigError where the file cannot be read."""
        path = self.token or os.environ.get("RAY_AUTH_TOKEN_PATH")
        if self.token is None and "RAY_AUTH_TOKEN" in os.environ:
            return os.environ["RAY_AUTH_TOKEN"].strip()
        return read_text(Path(path).expanduser()).strip() if path else None

    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        secret = self.secret()
        return {"Authorization": f"Bearer {secret}"} if secret else {}

    def ask(self, path: str) -> Any:
        """The JSON answer to a GET. Raises ConfigError in one line: not reachable, no token, or a wrong one."""
        request = urllib.request.Request(self.address + path, headers=self.headers())  # noqa: S310  (http, by _plain)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ConfigError(f"cluster {self.address}: {self._refusal(error.code)}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ConfigError(f"cluster {self.address}: cannot be reached: {reason}") from None

    def _refusal(self, code: int) -> str:
        if code == 401:
            return "wants a token; `token: FILE` of the cluster, RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN fits"
        if code == 403:
            return f"the token ({self.token or 'from the environment'}) is wrong"
        return f"answers with HTTP status {code}"

    def check(self, ray: str) -> None:
        """Raises ConfigError in one line unless it answers, takes our token, and runs the given version of Ray."""
        there = self.ask("/api/version").get("ray_version")
        if there != ray:
            raise ConfigError(f"cluster {self.address}: runs Ray {there}; {ray} fits, the version that runs here")


def config_path() -> Path:
    """The user's file of clusters."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "worldgrid" / "clusters.yaml"


def state_path() -> Path:
    """The folder in which `worldgrid cluster start` keeps what it started."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "worldgrid" / "cluster"


def find(name: str | None) -> Cluster:
    """A cluster by its name; without one the cluster that `RAY_ADDRESS` names. Raises ConfigError in one line."""
    if name is None:
        return _from_environment()
    path, local = config_path(), state_path() / "cluster.json"
    known = read_yaml(read_text(path), str(path)) if path.exists() else {}
    if not isinstance(known, dict):
        raise ConfigError(f"{path}: clusters by name fit: `prod: {{address: ..., store: ...}}`")
    if name in known:
        return _parse(known[name], f"{path}: {name}")
    if name == LOCAL and local.exists():
        return parse(Cluster, json.loads(local.read_text(encoding="utf-8")), str(local))
    if name == LOCAL and state_path().exists():
        raise ConfigError("the local cluster is not up, or was broken off; `worldgrid cluster stop` ends it")
    if name == LOCAL:
        raise ConfigError("there is no local cluster; `worldgrid cluster start` makes one")
    raise ConfigError(f"unknown cluster '{name}'{suggest(name, known) or f'; {path} names none'}")


def _from_environment() -> Cluster:
    address, store = os.environ.get("RAY_ADDRESS"), os.environ.get("WORLDGRID_STORE")
    if not address:
        raise ConfigError("no cluster: --cluster NAME fits, or RAY_ADDRESS and WORLDGRID_STORE in the environment")
    if not store:
        raise ConfigError("RAY_ADDRESS names a cluster; WORLDGRID_STORE must name its store: s3://bucket/prefix")
    section = {"address": address, "store": store, "tracking": os.environ.get("MLFLOW_TRACKING_URI")}
    return _parse(section, "RAY_ADDRESS, WORLDGRID_STORE, MLFLOW_TRACKING_URI")


def _parse(section: Any, where: str) -> Cluster:
    """As `parse`, but an address with a password is refused without being shown."""
    for name, value in section.items() if isinstance(section, dict) else ():
        if "@" in urlsplit(str(value)).netloc:
            raise ConfigError(f"{where}: {name} holds a user or a password; those belong in the nodes' environment")
    return parse(Cluster, section, where)
