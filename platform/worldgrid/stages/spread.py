"""Spread: work on numbered shards, here or on workers of the cluster, whichever is sooner. The order is nobody's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ray
from ray.util import ActorPool

START_UP = 5.0
"""Seconds until workers have started and imported what they need: work that is done sooner is done here."""

Work = Callable[[int], int]
"""Does one shard and says how much it did; doing it twice changes nothing."""


def spread(make: Callable[[], Work], shards: Sequence[int], seconds: float, *, cpus: float, gpus: float = 0) -> int:
    """Do every shard once and say how much was done in all; `make` prepares a worker, or this process, for its shards.

    `seconds` is how long one process would take. GPUs are only there for workers. A lost worker's shard is done again.
    """
    if not shards:
        return 0
    if not gpus and (len(shards) == 1 or seconds < START_UP):
        work = make()
        return sum(work(shard) for shard in shards)
    if not gpus:
        task = ray.remote(_once).options(num_cpus=cpus)
        return sum(ray.get([task.remote(make, shard) for shard in shards]))
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 3, "max_task_retries": 3}
    there = max(1, int(ray.cluster_resources().get("GPU", 0.0) / gpus))
    workers = [ray.remote(_Worker).options(**options).remote(make) for _ in range(min(len(shards), there))]
    done: int = sum(ActorPool(workers).map_unordered(lambda worker, shard: worker.work.remote(shard), list(shards)))
    return done


def _once(make: Callable[[], Work], shard: int) -> int:
    """A task of its own for every shard: it runs where a CPU is free, on nodes that come later too."""
    return make()(shard)


class _Worker:
    """Holds a GPU for many shards: to prepare it takes as long as one."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._work = make()

    def work(self, shard: int) -> int:
        return self._work(shard)


def timed(work: Callable[[], object]) -> float:
    """Wall-clock seconds that something takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
