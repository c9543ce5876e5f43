"""A Ray cluster on this machine that adds and removes nodes by itself: Ray's autoscaler and its fake nodes.

Every node is a real raylet with one CPU. `ray.cluster_utils.AutoscalingCluster` would stop all clusters of the machine.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parents[1]
HEAD = "f" * 51 + "00000"
"""Node id of the head; the provider counts on from it."""


def _configuration(address: str, most: int) -> dict[str, object]:
    """A head that takes no work, and up to `most` nodes of one CPU that leave after nine idle seconds."""
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "gcs_address": address,
        "launch_multiple": True,
        "head_node_id": HEAD,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    types = {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "ray.worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": most},
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {f"{name}_commands": [] for name in commands} | {
        "auth": {},
        "cluster_name": "fake",
        "cluster_synced_files": [],
        "file_mounts": {},
        "provider": provider,
        "max_workers": most,
        "idle_timeout_minutes": 0.15,
        "upscaling_speed": 100,
        "available_node_types": types,
        "head_node_type": "ray.head.default",
    }


@contextmanager
def fake_cluster(most: int) -> Iterator[dict[str, str]]:
    """The environment in which programs find the cluster (`RAY_ADDRESS`)."""
    folder = Path(tempfile.mkdtemp(prefix="wg-"))  # short: sockets lie in it
    ports = _free_ports(3)
    address = f"{socket.gethostbyname(socket.gethostname())}:{ports[0]}"
    (folder / "cluster.yaml").write_text(yaml.safe_dump(_configuration(address, most)))
    environment = os.environ | {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_health_check_period_ms": "1000",
    }
    options = {
        "port": ports[0],
        "num-cpus": 0,
        "autoscaling-config": folder / "cluster.yaml",
        "ray-client-server-port": ports[1],
        "dashboard-port": ports[2],
        "include-dashboard": False,
        "temp-dir": folder,
        "object-store-memory": 100_000_000,
    }
    command = [*(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block")]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            command, env={k: v for k, v in environment.items() if k != "RAY_ADDRESS"}, stdout=log, stderr=log
        )
    try:
        _wait_for(address, head, folder / "head.log")
        yield {name: value for name, value in environment.items() if not name.startswith(("RAY_OVERRIDE", "RAY_CLOUD"))}
    finally:
        head.terminate()
        head.wait(60)
        for process in _processes(str(folder)):
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def raylet(node: str) -> psutil.Process:
    """The process that is a fake node."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "raylet" and process.environ().get("RAY_OVERRIDE_NODE_ID_FOR_TESTING") == node:
            return process
    raise LookupError(f"no raylet is node {node}")


def _processes(folder: str) -> list[psutil.Process]:
    """What Ray started with this temporary folder, the fake nodes with it: stopping the head leaves them."""
    everything = psutil.process_iter(["cmdline"])
    return [process for process in everything if any(folder in part for part in process.info["cmdline"] or ())]


def _free_ports(count: int) -> list[int]:
    """Ports below those that Ray gives to its workers."""
    found = []
    for port in range(21_000 + secrets.randbelow(5_000), 30_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
        if len(found) == count:
            return found
    raise LookupError("no free ports")


def _wait_for(address: str, head: "subprocess.Popen[bytes]", log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
