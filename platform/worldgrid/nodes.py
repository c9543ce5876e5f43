"""A cluster of several Ray nodes on this machine, on loopback and with a token, to try things out and to test.

Every process of it carries a mark in its environment, so that stopping it ends exactly what it started.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

from worldgrid.clusters import Cluster, state_path
from worldgrid.spec import ConfigError
from worldgrid.store import Store

MARK = "WORLDGRID_CLUSTER"
"""Environment variable that all processes of a local cluster carry."""
HOST = "127.0.0.1"
START_SECONDS = 300.0
"""A node that is not there by then will not come; on an idle machine it takes about ten."""
ATTEMPTS = 3
"""Times that `ray start` is tried for a node."""
STOP_SECONDS = 10.0
"""For processes to end by themselves."""
STORE_BYTES = 200_000_000
"""Ray's object store of each node; a node takes a third of the machine's memory unless told."""


def start(nodes: int, cpus: int, store: str, *, services: bool) -> Cluster:
    """Start a head without CPUs and, beside it, nodes: the first for training, the others for evaluation.

    Raises ConfigError where one was started already, or where a node or a service does not come; nothing is left then.
    """
    folder = state_path()
    token = folder / "token"
    gcs, dashboard, tracking = free_port(), free_port(), free_port()
    section = {"address": f"http://{HOST}:{dashboard}", "store": Store(store).address, "token": str(token)}
    section |= {"tracking": f"http://{HOST}:{tracking}"} if services else {}
    cluster = Cluster.model_validate_json(json.dumps(section))
    mark, temporary = _claim(folder)
    try:
        server = _spawn("mlflow", _mlflow(folder, tracking), mark, token) if services else None
        head = ["--head", f"--port={gcs}", "--num-cpus=0", f"--temp-dir={temporary}/0"]
        head += [f"--dashboard-host={HOST}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={free_port()}"]
        _start_node("head", _ray(head), mark, token)
        for index in range(1, nodes):
            group = json.dumps({"train" if index == 1 else "evaluate": 1000})
            node = [f"--address={HOST}:{gcs}", f"--num-cpus={cpus}", f"--resources={group}"]
            node += [f"--temp-dir={temporary}/{index}"]  # nodes that share one unpack uploads over each other
            _start_node(f"node-{index}", _ray(node), mark, token)
        _await(cluster, nodes)
        if server:
            _await_server(server, f"{cluster.tracking}/health")
        (folder / "cluster.json").write_text(json.dumps(section, indent=1), encoding="utf-8")
    except BaseException:
        if folder.exists():  # else `stop` was there first
            stop()
        raise
    return cluster


def stop() -> int:
    """End every process of the local cluster and remove what it kept, but not its store; how many there were."""
    folder = state_path()
    if not folder.exists():
        raise ConfigError("there is no local cluster; nothing to stop")
    mark, temporary = (folder / "mark").read_text(encoding="utf-8").split()
    ended = len(marked(mark))
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        deadline = time.monotonic() + seconds
        for pid in marked(mark):
            _send(pid, sign)
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.2)
    left = marked(mark)
    if left:
        raise ConfigError(f"processes {', '.join(map(str, left))} of the local cluster do not end")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(folder)
    return ended


def marked(mark: str) -> list[int]:
    """The processes that carry a mark; those that have ended and those of other users have none."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def _claim(folder: Path) -> tuple[str, Path]:
    """Make the state folder, with its mark and token at once, so that whatever comes later `stop` finds what to end.

    The mark, and a new folder for Ray. Raises ConfigError where there is a cluster, or what is left of one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark, temporary = uuid.uuid4().hex, Path(tempfile.mkdtemp(prefix="wg-"))  # short: Ray puts sockets below it
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-"))
    (made / "mark").write_text(f"{mark}\n{temporary}\n", encoding="utf-8")
    with os.fdopen(os.open(made / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    try:
        made.rename(folder)  # fails where there is one that is not empty
    except OSError:
        shutil.rmtree(made)
        temporary.rmdir()
        raise ConfigError("a local cluster was started before; `worldgrid cluster stop` ends it") from None
    return mark, temporary


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _ray(words: list[str]) -> list[str]:
    """`ray start`, which leaves a node behind; several share the machine, so no port is a fixed one."""
    shared = [f"--node-ip-address={HOST}", f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats"]
    shared += ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
    return ["ray.scripts.scripts", "start", *words, *shared]


def _mlflow(folder: Path, port: int) -> list[str]:
    runs = [f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}", f"--artifacts-destination={folder / 'artifacts'}"]
    return ["mlflow", "server", *runs, f"--host={HOST}", f"--port={port}", "--workers=1"]


def _spawn(name: str, words: list[str], mark: str, token: Path) -> subprocess.Popen[bytes]:
    """Start a module as a process of its own session, with its log in the state folder."""
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")}
    environment |= {MARK: mark, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    # The machine's memory is not the cluster's alone: Ray would end its workers for what others use.
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "RAY_memory_monitor_refresh_ms": "0"}
    with (state_path() / f"{name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=state_path(),
        )


def _start_node(name: str, words: list[str], mark: str, token: Path) -> None:
    """Run `ray start` until it has left its node behind; again where a busy machine took more than Ray's 30 s."""
    for _ in range(ATTEMPTS):
        process = _spawn(name, words, mark, token)
        if process.wait() == 0:
            return
        for pid in marked(mark):
            if _session(pid) == process.pid:
                _send(pid, signal.SIGKILL)
    raise ConfigError(f"the local cluster's {name} does not start: {_last_words(name)}")


def _last_words(name: str) -> str:
    """The last line of a process's log."""
    lines = (state_path() / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def _session(pid: int) -> int | None:
    """The session of a process, which is its leader's number; None once it has ended."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _await(cluster: Cluster, nodes: int) -> None:
    """Wait until the cluster has so many nodes."""
    deadline = time.monotonic() + START_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        try:
            alive = cluster.ask("/api/v0/nodes?detail=0")["data"]["result"]["result"]
            said = f"{sum(node['state'] == 'ALIVE' for node in alive)} nodes"
            if said == f"{nodes} nodes":
                return
        except ConfigError as error:
            said = str(error)
        time.sleep(0.5)
    raise ConfigError(f"the local cluster has not {nodes} nodes after {START_SECONDS:g} s ({said})")


def _await_server(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the tracking server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=STOP_SECONDS).close()  # noqa: S310  (ours, http)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise ConfigError(f"the local cluster's MLflow does not start: {_last_words('mlflow')}")


def _send(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return
