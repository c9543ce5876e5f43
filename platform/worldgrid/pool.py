"""The episode pool: Ray actors that play the chunks of every evaluation of a grid, each episode counted once.

A chunk's file is a function of the recipe and is committed once under its name, so playing a chunk twice changes
nothing and a crash loses at most the chunks in flight. Results do not depend on how many workers there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError

from worldgrid import ledger
from worldgrid.host import fingerprint
from worldgrid.scale import Evaluate
from worldgrid.spec import JSON
from worldgrid.step import Step, digest
from worldgrid.store import Store

if TYPE_CHECKING:
    from worldgrid.world_model import WorldModel

ATTEMPTS = 3
"""Workers a chunk may take down before its evaluation fails."""
IDLE_SECONDS = 10.0
"""How long a worker waits for its next chunk before it leaves."""
MODELS = 4
"""World models a worker keeps."""


class ChunkError(RuntimeError):
    """A chunk took down every worker that played it."""


class Worker:
    """A Ray actor that plays chunks; it keeps the world models it used last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._models: OrderedDict[str, WorldModel] = OrderedDict()

    def play(self, step: Step, chunk: range) -> JSON:
        """Play a chunk and commit its file."""
        from worldgrid.stages import evaluate  # late: only workers need torch

        return evaluate.play_chunk(step, self._model(step), chunk, self._store.workspace(step.key))

    def _model(self, step: Step) -> WorldModel:
        from worldgrid.stages import evaluate

        name = model_name(step)
        if name not in self._models:
            self._models[name] = evaluate.load_world_model(step, self._store)
            while len(self._models) > MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(name)
        return self._models[name]


def model_name(step: Step) -> str:
    """Equal for evaluations that plan with the same world model."""
    inputs = {name: needed.key for name, needed in step.inputs.items()}
    config = {name: step.config.get(name) for name in ("env", "encoder", "weights", "epoch")}
    return digest([inputs, config, step.config["mpc"]["context"]])


@dataclass(eq=False)
class _Evaluation:
    """One evaluation's chunks that are still to be played."""

    step: Step
    finished: asyncio.Event
    began: float
    waiting: list[range]
    left: int
    """Chunks neither committed nor failed."""
    attempts: dict[range, int] = field(default_factory=dict)
    error: BaseException | None = None
    tally: JSON = field(default_factory=dict)


@dataclass(eq=False)
class _Seat:
    """One worker and what it does."""

    actor: Any
    model: str = ""
    idle_since: float = 0.0


class Pool:
    """An asynchronous Ray actor: all its methods run in one thread, so its tables need no lock."""

    def __init__(self, store: Store, scale: Evaluate, patience: float = IDLE_SECONDS) -> None:
        self._store = store
        self._scale = scale
        self._patience = patience
        self._open: list[_Evaluation] = []
        self._idle: list[_Seat] = []
        self._playing: set[_Seat] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tallies: dict[str, JSON] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def play(self, step: Step) -> JSON:
        """Play what is missing of an evaluation, commit it, and return its metrics."""
        folder = self._store.workspace(step.key)
        every = ledger.chunks(step)
        waiting = [chunk for chunk in every if not ledger.chunk_path(folder, chunk).exists()]
        tally = {"episodes": 0, "successes": 0, "total": sum(map(len, every)), "running": True}
        for chunk in every:
            if chunk not in waiting:
                _count(tally, ledger.count(folder, chunk))
        self._tallies[step.key] = tally
        one = _Evaluation(step, asyncio.Event(), time.monotonic(), waiting, len(waiting), tally=tally)
        if waiting:
            self._open.append(one)
            self._dispatch()
            await one.finished.wait()
        tally["running"] = False
        if one.error is not None:
            raise one.error
        metrics = ledger.finish(step, folder)
        return self._store.commit(step, metrics, time.monotonic() - one.began, fingerprint()).metrics

    def tallies(self) -> dict[str, JSON]:
        """Episodes played and succeeded so far, by evaluation key."""
        return self._tallies

    def workers(self) -> tuple[int, int]:
        """Workers that play, and workers in all."""
        return len(self._playing), len(self._playing) + len(self._idle)

    def _dispatch(self) -> None:
        """Give every chunk that waits to a worker, growing the pool while it may."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        low, high = self._scale.workers
        while self._open:
            if not self._idle:
                if len(self._playing) >= high:
                    return
                self._idle.append(self._hire())
            seat = self._idle.pop()
            one, chunk = self._next(seat)
            self._playing.add(seat)
            task = asyncio.create_task(self._play_on(seat, one, chunk))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        while len(self._playing) + len(self._idle) < low:
            self._idle.append(self._hire())

    def _hire(self) -> _Seat:
        options = {"num_cpus": self._scale.cpus, "num_gpus": self._scale.gpus, "max_restarts": 0}
        return _Seat(ray.remote(Worker).options(**options).remote(self._store), idle_since=time.monotonic())

    def _next(self, seat: _Seat) -> tuple[_Evaluation, range]:
        """The next chunk: from an evaluation whose model the worker holds, else from the one that waits longest."""
        one = next((one for one in self._open if model_name(one.step) == seat.model), self._open[0])
        chunk = one.waiting.pop(0)
        self._open.remove(one)
        if one.waiting:
            self._open.append(one)
        return one, chunk

    async def _play_on(self, seat: _Seat, one: _Evaluation, chunk: range) -> None:
        try:
            counts = await seat.actor.play.remote(one.step, chunk)
        except RayActorError as error:
            self._retry(one, chunk, error)
        except Exception as error:
            self._fail(one, error)
            self._rest(seat, one)
        else:
            _count(one.tally, counts)
            self._close(one)
            self._rest(seat, one)
        self._playing.discard(seat)
        self._dispatch()

    def _rest(self, seat: _Seat, one: _Evaluation) -> None:
        seat.model, seat.idle_since = model_name(one.step), time.monotonic()
        self._idle.append(seat)

    def _retry(self, one: _Evaluation, chunk: range, error: RayActorError) -> None:
        """The worker died, and is not sat down again: its chunk goes to another, but not for ever."""
        one.attempts[chunk] = one.attempts.get(chunk, 0) + 1
        if one.attempts[chunk] >= ATTEMPTS:
            text = f"episodes {chunk.start} to {chunk.stop - 1} took down {ATTEMPTS} workers: {error}"
            self._fail(one, ChunkError(text))
            return
        one.waiting.insert(0, chunk)
        if one not in self._open:
            self._open.insert(0, one)

    def _fail(self, one: _Evaluation, error: BaseException) -> None:
        one.error = one.error or error
        one.waiting.clear()
        if one in self._open:
            self._open.remove(one)
        one.finished.set()

    @staticmethod
    def _close(one: _Evaluation) -> None:
        one.left -= 1
        if one.left == 0:
            one.finished.set()

    async def _sweep(self) -> None:
        """Let workers go that have had nothing to do, so that Ray's autoscaler can give their nodes back."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            leaving = [seat for seat in self._idle if now - seat.idle_since > self._patience]
            spare = len(self._playing) + len(self._idle) - self._scale.workers[0]
            for seat in leaving[: max(spare, 0)]:
                self._idle.remove(seat)
                ray.kill(seat.actor)


def _count(tally: JSON, counts: JSON) -> None:
    tally["episodes"] += counts["episodes"]
    tally["successes"] += counts["successes"]
