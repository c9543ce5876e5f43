"""Trainers: worker groups of Ray Train that take one training after another. Starting a group costs more than a small
training does, so a group lives as long as trainings wait.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from worldgrid.spec import JSON, ConfigError
from worldgrid.step import Step
from worldgrid.store import Store


class Assignment(NamedTuple):
    """What a worker group is to train."""

    number: int
    """Tells it from any other, also of the same step."""
    step: Step
    until: int | None
    """The epoch after which it ends; None for the step's last."""


@dataclass
class _Training:
    given: Assignment
    begin: Callable[[], None]
    """Called when a group takes it."""
    result: asyncio.Future[JSON]


@dataclass
class _Group:
    held: _Training | None = None
    began: bool = False
    """Whether it took a training yet."""
    closed: bool = False
    """It was told that nothing waits, so each of its ranks must hear the same."""


class Trainers:
    """The trainings that wait and the groups that take them. Lives in memo's one thread, so its tables need no lock.

    `run` runs the group of a name from its start to its end; `most` says how many fit on the cluster side by side:
    more would only wait and hold their places.
    """

    def __init__(self, store: Store, run: Callable[[str], Awaitable[None]], most: Callable[[], int]) -> None:
        self._store = store
        self._run = run
        self._most = most
        self._waiting: deque[_Training] = deque()
        self._groups: dict[str, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Condition()
        self._numbers = count()

    async def train(self, step: Step, begin: Callable[[], None], until: int | None = None) -> JSON:
        """The metrics of a training, after its turn came; nothing of one that ends before its last epoch."""
        given = Assignment(next(self._numbers), step, until)
        training = _Training(given, begin, asyncio.get_running_loop().create_future())
        self._waiting.append(training)
        self._grow()
        return await training.result

    async def take(self, name: str, after: int | None) -> Assignment | None:
        """A group's next training, or None for ever when nothing waits.

        Every rank asks, naming the training it just left, and gets the same answer: the next one is given out when
        rank 0 has ended the last. A group that was restarted names none and gets the one it held.
        """
        group = self._groups[name]
        async with self._moved:
            await self._moved.wait_for(lambda: group.held is None or group.held.given.number != after)
        if group.held and after is None and (done := self._store.done(group.held.given.step.key)):
            await self.end(name, done.metrics)  # rank 0 was lost between committing it and saying so
        if group.held is None and not group.closed:
            if self._waiting:
                group.held, group.began = self._waiting.popleft(), True
                group.held.begin()
            else:
                group.closed = True
        return group.held.given if group.held else None

    async def end(self, name: str, outcome: JSON | ConfigError) -> None:
        """Rank 0 committed the training that its group held, or what its user wrote does not fit."""
        held = self._groups[name].held
        assert held is not None, f"{name} ended a training that it does not hold"
        self._groups[name].held = None
        if isinstance(outcome, ConfigError):
            held.result.set_exception(outcome)
        else:
            held.result.set_result(outcome)
        async with self._moved:
            self._moved.notify_all()

    def _grow(self) -> None:
        """Start groups while more trainings wait than groups are on their way to take them."""
        while self._waiting and len(self._groups) < self._most():
            if sum(not group.began for group in self._groups.values()) >= len(self._waiting):
                return
            name = f"train-{uuid.uuid4().hex[:8]}"
            self._groups[name] = _Group()
            task = asyncio.create_task(self._live(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _live(self, name: str) -> None:
        """One group from its start to its end; what it held when it broke fails with what broke it."""
        error: Exception = RuntimeError("its worker group ended before it did")
        try:
            await self._run(name)
        except Exception as broken:
            error = broken
        group = self._groups.pop(name)
        if group.began:
            lost = [group.held] if group.held else []
            self._grow()
        elif self._groups:
            lost = []  # it could not start; the others take what waits
        else:
            lost, self._waiting = list(self._waiting), deque()
        for training in lost:
            training.result.set_exception(error)
