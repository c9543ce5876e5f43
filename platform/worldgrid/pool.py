"""The episode pool: Ray actors that play the chunks of every evaluation of a grid, each episode counted once.

A chunk's file is a function of the recipe and is committed once under its name, so playing a chunk twice changes
nothing and a crash loses at most the chunks in flight. Results do not depend on how many workers there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import ray
from ray.exceptions import RayActorError

from worldgrid import ledger
from worldgrid.backlog import Backlog, model_name
from worldgrid.gauges import PoolGauges
from worldgrid.host import ran
from worldgrid.playing import Playing
from worldgrid.scale import Evaluate
from worldgrid.seats import HungError, Seat, draining_nodes
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.worker import HandedBackError, Worker, load

TICK = 1.0
"""Seconds between looks at who is idle and which nodes are to go."""
STILLBORN = 10
"""Workers in a row that may die on their way: what keeps them from arriving will not pass by itself."""


class Pool:
    """An asynchronous Ray actor: all its methods run in one thread, so its tables need no lock.

    It may be restarted at any time: what was played lies in the ledger, where an evaluation asked for again goes on.
    """

    def __init__(self, store: Store, scale: Evaluate, worker: type = Worker) -> None:
        self._store = store
        self._scale = scale
        self._worker = worker
        self._open: dict[str, Playing] = {}
        self._backlog = Backlog()
        self._suspects: list[tuple[Playing, range]] = []
        """Chunks whose worker died: each is played by a worker that plays nothing else."""
        self._seats: list[Seat] = []
        self._stillborn = 0
        self._models: dict[str, ray.ObjectRef[Any]] = {}
        self._asked: dict[str, asyncio.Task[JSON]] = {}
        self._tallies: dict[str, JSON] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gauges = PoolGauges()
        self._ticking: asyncio.Task[None] | None = None

    async def play(self, step: Step, priority: int = 0) -> JSON:
        """Play what is missing of an evaluation, commit it, and return its metrics.

        Raises what an episode raised, or ChunkError where chunks had to be set aside; then nothing is committed, and
        what was played stays.
        """
        if self._ticking is None or self._ticking.done():
            self._ticking = self._start(self._tick())
        if step.key not in self._asked:  # memo, begun again, asks again for what is being played
            asked = self._asked[step.key] = asyncio.create_task(self._play_all(step, priority))
            asked.add_done_callback(lambda _: self._asked.pop(step.key))
        return await asyncio.shield(self._asked[step.key])

    async def _play_all(self, step: Step, priority: int) -> JSON:
        one = await asyncio.to_thread(self._begin, step)
        self._tallies[step.key] = one.tally
        self._open[step.key] = one
        self._backlog.add(step, one.waiting, priority)
        self._dispatch()
        await one.finished.wait()
        self._forget(one)
        one.conclude()
        return await asyncio.to_thread(self._commit, one)

    def _begin(self, step: Step) -> Playing:
        return Playing.begin(step, self._store.workspace(step.key))

    def _commit(self, one: Playing) -> JSON:
        metrics = ledger.finish(one.step, self._store.workspace(one.step.key))
        where = ran(one.spent, gpus=self._scale.gpus)
        return self._store.commit(one.step, metrics, time.monotonic() - one.began, where).metrics

    def tallies(self) -> dict[str, JSON]:
        """Episodes played, succeeded and set aside so far, by evaluation key."""
        return self._tallies

    def workers(self) -> tuple[int, int]:
        """Workers that play, and workers in all."""
        return sum(bool(seat.playing) for seat in self._seats), len(self._seats)

    def census(self) -> dict[str, int]:
        """Workers by what they do, and episodes that nobody plays yet."""
        states = [seat.state for seat in self._seats]
        waiting = self._backlog.episodes + sum(len(chunk) for _, chunk in self._suspects)
        return {state: states.count(state) for state in ("starting", "idle", "playing")} | {"backlog": waiting}

    def places(self) -> list[JSON]:
        """Node, process number and log of every worker that is there."""
        return [seat.place for seat in self._seats if seat.place]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody awaits these tasks: where one breaks, whoever waits for an evaluation must hear of it."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            for one in self._open.values():
                one.fail(error)

    def _forget(self, one: Playing) -> None:
        del self._open[one.step.key]
        self._backlog.drop(one.step)
        self._suspects = [suspect for suspect in self._suspects if suspect[0] is not one]
        needed = {model_name(other.step) for other in self._open.values()}
        self._models = {name: packed for name, packed in self._models.items() if name in needed}
        self._resize()

    def _dispatch(self) -> None:
        """Give chunks to workers that have room, emptiest first, then ask for as many workers as the rest needs."""
        for depth in range(1 if self._suspects else self._scale.side_by_side):
            for seat in self._seats:
                if seat.has_room(depth) and (given := self._next(seat)):
                    seat.take_up()
                    self._start(self._play(seat, *given))
        self._resize()

    def _next(self, seat: Seat) -> tuple[Playing, range] | None:
        if self._suspects and not seat.playing:
            seat.alone = True
            return self._suspects.pop(0)
        given = self._backlog.take(seat.models)
        return (self._open[given[0].key], given[1]) if given else None

    def _resize(self) -> None:
        """As many workers as there is work for, within the limits: hire, or send away who is not there yet."""
        low, high = self._scale.workers
        chunks = len(self._backlog) + len(self._suspects) + sum(seat.playing for seat in self._seats)
        wanted = min(max(-(-chunks // self._scale.side_by_side), low), high)
        staying = [seat for seat in self._seats if not seat.leaving]
        for _ in range(wanted - len(staying)):
            self._hire()
        coming = [seat for seat in staying if not seat.place]
        for seat in coming[: max(len(staying) - wanted, 0)]:
            self._dismiss(seat)

    def _hire(self) -> None:
        seat = Seat.hire(self._worker, self._scale, self._store)
        self._seats.append(seat)
        self._gauges.scaled("up")
        self._start(self._welcome(seat))

    def _dismiss(self, seat: Seat) -> None:
        self._seats.remove(seat)
        self._gauges.scaled("down")
        ray.kill(seat.actor)

    async def _welcome(self, seat: Seat) -> None:
        """Wait until a worker is there: seconds, or minutes while Ray adds a node for it."""
        try:
            await seat.arrive()
        except RayActorError as error:
            if seat not in self._seats:
                return  # it was not needed any more
            self._seats.remove(seat)
            self._stillborn += 1
            if error.actor_init_failed or self._stillborn == STILLBORN:
                self._stillborn = 0
                for one in self._open.values():
                    one.fail(error)
        else:
            self._stillborn = 0
        self._dispatch()

    async def _play(self, seat: Seat, one: Playing, chunk: range) -> None:
        """A worker plays a chunk; whatever becomes of it, the chunk is committed, waits again or is set aside."""
        began, spent = time.monotonic(), seat.spent
        try:
            counts = await seat.play(one.step, chunk, self._model(one.step), self._scale.limit)
        except HandedBackError:
            seat.leaving = True
            self._return(one, chunk, "left")
        except HungError as error:
            self._lose(one, chunk, "hung", await seat.testament(str(error)))
            self._remove(seat)
        except RayActorError as error:
            self._remove(seat)
            if seat.leaving or error.preempted:  # its node was to go, and went
                self._return(one, chunk, "left")
            else:
                self._lose(one, chunk, "died", await seat.testament(str(error)))
        except Exception as error:
            one.fail(error)
        else:
            seat.models = counts["models"]
            one.count(counts)
            self._gauges.played(counts, time.monotonic() - began)
            one.close()
        seat.put_down()
        one.spent += seat.spent - spent
        if seat.leaving and not seat.playing:
            self._remove(seat)
        self._dispatch()

    def _model(self, step: Step) -> ray.ObjectRef[Any]:
        """The evaluation's world model in the object store, loaded the first time it is asked for."""
        name = model_name(step)
        if name not in self._models:
            self._models[name] = load.remote(step, self._store)
        return self._models[name]

    def _remove(self, seat: Seat) -> None:
        if seat in self._seats:
            self._dismiss(seat)

    def _return(self, one: Playing, chunk: range, reason: str) -> None:
        """A chunk that was not played, through no fault of its own, waits again."""
        self._gauges.returned(reason)
        if not one.finished.is_set():
            self._backlog.give_back(one.step, chunk)

    def _lose(self, one: Playing, chunk: range, reason: str, last_words: str) -> None:
        """A chunk's worker died: it waits for a worker that plays nothing else, but not for ever."""
        self._gauges.returned(reason)
        deaths = one.deaths.setdefault(chunk, [])
        deaths.append(last_words)
        if one.finished.is_set():
            return
        if len(deaths) < self._scale.attempts:
            self._suspects.append((one, chunk))
            return
        one.set_aside(chunk, self._store.workspace(one.step.key))
        self._gauges.set_aside(len(chunk))

    async def _tick(self) -> None:
        """Let workers go that have had nothing to do, so that Ray can give their nodes back, or whose node is to go."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            going = await asyncio.to_thread(draining_nodes)
            for seat in [seat for seat in self._seats if seat.place and seat.place["node"] in going]:
                seat.leave()
            idle = [seat for seat in self._seats if seat.state == "idle"]
            spare = len(self._seats) - self._scale.workers[0]
            bored = [seat for seat in idle if time.monotonic() - seat.idle_since > self._scale.idle]
            for seat in [*(seat for seat in idle if seat.leaving), *bored[: max(spare, 0)]]:
                self._remove(seat)
            self._gauges.census(self.census(), len(idle) * (time.monotonic() - before))
            self._dispatch()
