"""A driver for `test_pool_autoscaling.py`, in its own process: plays on a fake cluster, takes nodes away, keeps time.

python -m tests.autoscaling STORE TIMELINE
"""

import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ray
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from worldgrid.pool import Pool
from worldgrid.scale import Evaluate
from worldgrid.store import Store

from .fake_cluster import HEAD, raylet
from .worlds import exact_evaluation

MOST = 4
SETTINGS: dict[str, Any] = {
    "planner": {"kind": "tests.sleeping:Sleeping", "nap": 0.7},
    "evaluate": {"episodes": 240, "batch": 4, "seed": 1},
}
TAIL = 120
"""Seconds in which the nodes must have left after the last episode."""


def nodes() -> set[str]:
    """The nodes that are listed as alive, without the head."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]} - {HEAD}


def counts(there: Collection[str], busy: Collection[str], told: Collection[str]) -> dict[str, int]:
    """Nodes, and the workers on them; apart, those on nodes that were told to go: these are listed for a while."""
    return {
        "nodes": sum(node not in told for node in there),
        "nodes at work": len(set(busy) - set(told)),
        "workers": sum(node not in told for node in busy),
        "nodes told to go": sum(node in told for node in there),
        "workers told to go": sum(node in told for node in busy),
    }


def main(root: str, out: str) -> None:
    """Play from nothing to nothing; a quarter through a node is killed, half through one is drained."""
    ray.init(log_to_driver=False)
    store = Store(root)
    step = exact_evaluation(store, **SETTINGS)
    scale = Evaluate(workers=(0, MOST), cpus=1.0, idle=2.0, attempts=2)  # the killed node is a death of its chunk
    pool = ray.remote(Pool).options(num_cpus=0).remote(store, scale)
    began, timeline, events, total = time.monotonic(), [], [], SETTINGS["evaluate"]["episodes"]
    killed, drained = "", ""

    def look() -> tuple[int, list[str]]:
        """Episodes played, and the nodes of the workers; the time line gets a row."""
        census, tallies, places = ray.get([pool.census.remote(), pool.tallies.remote(), pool.places.remote()])
        played = int(tallies.get(step.key, {}).get("episodes", 0))
        busy = [place["node"] for place in places]
        now = {"time": time.monotonic() - began, "played": played} | counts(nodes(), busy, {killed, drained})
        timeline.append(now | {"playing": census["playing"], "backlog": census["backlog"]})
        return played, [node for node in busy if node != killed]

    def event(what: str) -> None:
        events.append({"time": time.monotonic() - began, "what": what})

    result = pool.play.remote(step)
    event("asked")
    while not ray.wait([result], timeout=0.5)[0]:
        played, busy = look()
        if played > total // 4 and busy and not killed:
            killed = busy[0]
            raylet(killed).kill()
            event("node killed")
        elif played > total // 2 and busy and not drained:
            drained = busy[-1]
            drain(drained)
            event("node drained")
        elif drained and drained not in busy and events[-1]["what"] == "node drained":
            event("drained node left")
    metrics = ray.get(result)
    event("played")
    while timeline[-1]["nodes"] + timeline[-1]["nodes told to go"] and timeline[-1]["time"] - events[-1]["time"] < TAIL:
        look()
        time.sleep(0.5)
    event("nodes gone")
    Path(out).write_text(json.dumps({"timeline": timeline, "events": events, "metrics": metrics}, indent=1))


def drain(node: str) -> None:
    """What a cloud's spot notice does: the node is to go within a minute."""
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    head = GcsClient(address=ray.get_runtime_context().gcs_address)
    accepted, refusal = head.drain_node(node, reason, "test", time.time_ns() // 1_000_000 + 60_000)
    assert accepted, refusal


if __name__ == "__main__":
    main(*sys.argv[1:])
