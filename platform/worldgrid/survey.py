"""What a cluster is, seen from inside: `python -m worldgrid.survey STORE [TRACKING]` runs there before a grid does."""

from __future__ import annotations

import json
import platform
import sys
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worldgrid.spec import JSON, ConfigError

MARK = "worldgrid-survey "
"""Begins the line that holds the answer."""


def look(store: str, tracking: str, marker: str) -> str:
    """What keeps this node from using the store or the tracking server, in one line; empty if nothing does."""
    from worldgrid.served import check_tracking
    from worldgrid.store import Store

    try:
        there = Store(store)
        there.prepare()
        if marker and not Path(marker).exists():
            return f"store {store}: node {platform.node()} sees another folder; one that all nodes share or s3:// fits"
        return check_tracking(tracking)
    except ConfigError as error:
        return str(error)


def capacity() -> dict[str, float]:
    """What the cluster holds of every resource, now or after its autoscaler added all it may."""
    import ray
    from ray._private.state import state

    held, allowed = ray.cluster_resources(), state.get_max_resources_from_cluster_config() or {}
    return {name: max(held.get(name, 0.0), allowed.get(name, 0.0)) for name in {*held, *allowed}}


def answer(store: str, tracking: str) -> JSON:
    """Versions, capacity, and what each node cannot reach."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from worldgrid.sweep import start_ray

    start_ray()
    marker = None if store.startswith("s3:") else Path(store, f".probe-{uuid.uuid4().hex}")
    trouble = look(store, "", "")
    if not trouble and marker:
        marker.write_bytes(b"")
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    try:
        if not trouble:
            task = ray.remote(look)
            places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
            asked = [
                task.options(num_cpus=0, scheduling_strategy=place).remote(store, tracking, str(marker or ""))
                for place in places
            ]
            trouble = next((found for found in ray.get(asked) if found), "")
    finally:
        if marker:
            marker.unlink(missing_ok=True)
    try:
        installed = version("worldgrid")
    except PackageNotFoundError:
        installed = ""
    return {
        "python": platform.python_version(),
        "worldgrid": installed,
        "nodes": len(nodes),
        "capacity": capacity(),
        "trouble": trouble,
    }


if __name__ == "__main__":
    print(MARK + json.dumps(answer(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")))  # noqa: T201
