"""Seats: the pool's side of one worker each: whether it is there, what it plays, how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from ray._private.state import state as cluster_state
from ray.exceptions import RayActorError, RpcError

from worldgrid.scale import Evaluate
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.worker import CONTROL

PATIENCE = 5.0
"""Seconds for a worker that is given up to say what its threads are doing."""
TAIL = 4000
"""Letters of a dead worker's output that are kept."""


class HungError(RuntimeError):
    """A chunk took longer than it may."""


def draining_nodes() -> Collection[str]:
    """Nodes that Ray was told to take away (a spot notice, `ray drain-node`, its own scaling down)."""
    try:
        nodes: Collection[str] = cluster_state.get_draining_nodes()
    except RpcError:  # Ray's head does not answer; it is asked again soon
        return ()
    return nodes


def wanted(scale: Evaluate) -> JSON:
    """What a worker asks Ray for: `gpus: 0.25` lets four of them share a GPU."""
    return {
        "num_cpus": scale.cpus,
        "num_gpus": scale.gpus,
        "resources": dict(scale.resources),
        "max_restarts": 0,
        "max_concurrency": scale.side_by_side + CONTROL,
    }


@dataclass(eq=False)
class Seat:
    """One worker as the pool knows it."""

    actor: Any
    place: JSON = field(default_factory=dict)
    """Node, process number and log file; empty until the worker is there."""
    models: list[str] = field(default_factory=list)
    """World models it holds."""
    playing: int = 0
    """Chunks in flight."""
    alone: bool = False
    """Its chunk may be what killed its last worker: nothing else is put at risk."""
    leaving: bool = False
    idle_since: float = 0.0
    spent: float = 0.0
    """Seconds it gave to every chunk that was in flight all the while: chunks side by side share them."""
    _counted: float = 0.0
    """Until when `spent` is counted."""

    @classmethod
    def hire(cls, worker: type, scale: Evaluate, store: Store) -> Seat:
        """Ask Ray for a worker; where none fits on the cluster, Ray's autoscaler sees that one is wanted."""
        return cls(ray.remote(worker).options(**wanted(scale)).remote(store))

    @property
    def state(self) -> str:
        """What it does: `starting`, `idle` or `playing`."""
        return "playing" if self.playing else "idle" if self.place else "starting"

    def has_room(self, depth: int) -> bool:
        """Whether it is there and plays at most `depth` chunks, none of them a suspect."""
        return bool(self.place) and not self.leaving and not self.alone and self.playing <= depth

    def take_up(self) -> None:
        """It is given a chunk."""
        self._count()
        self.playing += 1

    def put_down(self) -> None:
        """A chunk of its came to an end."""
        self._count()
        self.playing -= 1
        self.alone, self.idle_since = False, time.monotonic()

    def _count(self) -> None:
        now = time.monotonic()
        self.spent += (now - self._counted) / self.playing if self.playing else 0.0
        self._counted = now

    async def arrive(self) -> None:
        """Wait until it is there. Raises RayActorError when it dies before."""
        self.place = await self.actor.arrive.remote()
        self.idle_since = time.monotonic()

    async def play(self, step: Step, chunk: range, world_model: ray.ObjectRef[Any], limit: float) -> JSON:
        """What came of a chunk. Raises HungError after `limit` seconds, and RayActorError when the worker dies."""
        reference = [world_model]  # in a list, so that only a worker that lacks the model fetches it
        reply = asyncio.wrap_future(self.actor.play.remote(step, chunk, reference).future())
        if not (await asyncio.wait([reply], timeout=limit))[0]:
            raise HungError(f"did not end within {limit:g} s")
        counts: JSON = reply.result()
        return counts

    def leave(self) -> None:
        """Tell it to hand back what it plays; nothing new is given to it."""
        if not self.leaving:
            self.leaving = True
            self.actor.leave.remote()

    async def testament(self, what: str) -> str:
        """What is known of its end: when, where, why, what its threads are doing, the end of what it printed."""
        parts = [
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} process {self.place['pid']} on node {self.place['node']}: {what}"
        ]
        with contextlib.suppress(RayActorError, TimeoutError):  # dead, or hanging so deeply that it cannot say where
            parts.append(await asyncio.wait_for(asyncio.wrap_future(self.actor.stacks.remote().future()), PATIENCE))
        printed = Path(self.place["log"])
        if printed.is_file():
            parts.append(f"{printed} ends:\n{printed.read_text(encoding='utf-8', errors='replace')[-TAIL:]}")
        elif self.place["log"]:
            parts.append(f"its output: {printed} on its node")
        return "\n".join(parts)
