"""Memo: one running task per step key, for every trial of a grid. Who asks second awaits the first."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)

from worldgrid.bucket import AwayError
from worldgrid.checkpoints import is_published
from worldgrid.extend import extend
from worldgrid.host import fingerprint, ran
from worldgrid.progress import Progress, StepError
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError
from worldgrid.stages import COMPUTING, Job, stage
from worldgrid.step import Step
from worldgrid.store import Store, write_whole
from worldgrid.trainers import Assignment, Trainers

CLAIMED_SECONDS = 2.0
"""Between looks at a step that another driver on this machine runs."""
PUBLISHED_SECONDS = 1.0
"""Between looks for a checkpoint of a training that goes on."""
LOST_SECONDS = 2.0
"""Before a step whose worker or node went away is run again; longer each time. What is left of it ends meanwhile."""

_LOST = (
    *(RayActorError, WorkerCrashedError, NodeDiedError),
    *(LocalRayletDiedError, ObjectLostError, OutOfMemoryError, AwayError),
)


class Memo:
    """An asynchronous Ray actor: all its methods run in one thread, so its table needs no lock."""

    def __init__(self, store: Store, scale: Scale, pool: str) -> None:
        self._store = store
        self._scale = scale
        self._pool = pool
        self._asked: dict[tuple[str, int | None], asyncio.Task[JSON]] = {}
        self._progress: dict[str, Progress] = {}
        self._trainers = Trainers(store, self._run_group, self._groups_that_fit)
        self._sound: dict[str, asyncio.Task[None]] = {}

    async def obtain(self, step: Step) -> JSON:
        """The metrics of a finished step, after running it and all it needs where they are not in the store."""
        return await asyncio.shield(self._ask(step))

    async def train_until(self, step: Step, epoch: int) -> None:
        """Train at least up to an epoch whose checkpoint is published, which a step that needs the end goes on from."""
        await asyncio.shield(self._ask(step, epoch))

    def progress(self) -> dict[str, Progress]:
        """Every step that was asked for, by key."""
        return self._progress

    async def take_training(self, group: str, after: int | None) -> Assignment | None:
        """A worker group's next training; see `Trainers.take`."""
        return await self._trainers.take(group, after)

    async def end_training(self, group: str, outcome: JSON | ConfigError) -> None:
        """A worker group ended the training it held; see `Trainers.end`."""
        await self._trainers.end(group, outcome)

    def _ask(self, step: Step, until: int | None = None) -> asyncio.Task[JSON]:
        asked = self._asked.get((step.key, until))
        if asked is None or (asked.done() and asked.exception() is not None):
            asked = asyncio.create_task(self._obtain(step, until))
            self._asked[step.key, until] = asked
        return asked

    def _found(self, step: Step, until: int | None) -> JSON | None:
        """The metrics of a finished step; nothing, but no None, of a training that is as far as it is wanted."""
        if done := self._store.done(step.key):
            return done.metrics
        return {} if until and is_published(self._store, step.key, until) else None

    async def _obtain(self, step: Step, until: int | None) -> JSON:
        self._progress[step.key] = progress = Progress(step.stage, "waiting")
        try:
            return await self._obtain_or_raise(step, until, progress)
        except StepError as error:
            progress.state, progress.error = "failed", str(error)
            raise
        except Exception as error:
            progress.log = write_log(self._store, step.key, error)
            progress.state, progress.error = "failed", f"{step.key}: {last_line(error)}"
            raise StepError(progress.error) from error

    async def _obtain_or_raise(self, step: Step, until: int | None, progress: Progress) -> JSON:
        """What `_obtain` gives; asked again where the store's server was away in between."""
        while True:
            try:
                if done := self._store.done(step.key):
                    progress.state, progress.seconds = "cached", done.seconds
                    return done.metrics
                await asyncio.gather(*(self._input(step, name) for name in step.inputs))
                return await self._run_once(step, progress, until)
            except AwayError:
                if progress.lost >= self._scale.retries:
                    raise
            progress.lost += 1
            await asyncio.sleep(LOST_SECONDS * progress.lost)

    async def _input(self, step: Step, name: str) -> None:
        """Wait for an input of a step: for its end or, of a training that is to be evaluated, for the checkpoint."""
        needed = step.inputs[name]
        if (step.stage, name) == ("evaluate", "train"):
            epoch = step.config["epoch"]
            if self._store.done(needed.key) is None and is_published(self._store, needed.key, epoch):
                return  # whether it is trained further is not for an evaluation to say
            asked = self._ask(needed)
            while not asked.done() and not is_published(self._store, needed.key, epoch):
                await asyncio.wait([asked], timeout=PUBLISHED_SECONDS)
            if not asked.done():
                return
        asked = self._ask(needed)
        await asyncio.shield(asked)
        await self._check(needed)

    async def _check(self, step: Step) -> None:
        """A step that was in the store already is read against its digests, once, before anything stands on it."""
        if self._progress[step.key].state == "cached":
            if step.key not in self._sound:
                self._sound[step.key] = asyncio.create_task(asyncio.to_thread(self._store.verify, step.key))
            await asyncio.shield(self._sound[step.key])

    async def _run_once(self, step: Step, progress: Progress, until: int | None) -> JSON:
        """Run a step, unless another driver on this machine does: then what that one makes of it is used."""
        while (claim := self._store.claim(step.key)) is None:
            await asyncio.sleep(CLAIMED_SECONDS)
        with claim:
            if (found := self._found(step, until)) is not None:
                done = self._store.done(step.key)
                progress.state, progress.seconds = ("cached", done.seconds) if done else ("waiting", 0.0)
                return found
            metrics = await self._run_again(step, progress, until)
            progress.state = "waiting" if until and self._store.done(step.key) is None else "done"
            return metrics

    async def _run_again(self, step: Step, progress: Progress, until: int | None) -> JSON:
        """Run a step; again where a worker or a node was lost, but not where the step's own code failed."""
        while True:
            try:
                return await self._run(step, progress, until)
            except Exception as error:
                if not is_lost(error) or progress.lost >= self._scale.retries:
                    raise
            progress.lost += 1
            progress.state = "waiting"
            await asyncio.sleep(LOST_SECONDS * progress.lost)
            if (found := self._found(step, until)) is not None:  # it was lost after its end
                return found

    async def _run(self, step: Step, progress: Progress, until: int | None) -> JSON:
        if step.stage == "evaluate":
            early = self._store.done(step.inputs["train"].key) is None  # who may stop a training waits for these
            return await self._timed(progress, lambda: ray.get_actor(self._pool).play.remote(step, int(early)))
        if step.stage == "train":
            return await self._train(step, progress, until)
        task = run_step.options(num_cpus=self._scale.cpus if step.stage in COMPUTING else 0, name=step.key)
        return await self._timed(progress, lambda: task.remote(step, self._store, self._scale))

    async def _train(self, step: Step, progress: Progress, until: int | None) -> JSON:
        began = 0.0

        def begin() -> None:
            nonlocal began
            began, progress.state = time.monotonic(), "running"

        if "latents" in step.inputs:  # an import that is not there is refused where it would be trained
            await asyncio.to_thread(extend, step, self._store)
        metrics = await self._trainers.train(step, begin, until)
        progress.seconds = time.monotonic() - began
        return metrics

    async def _run_group(self, name: str) -> None:
        source = ray.get_runtime_context().current_actor
        await run_group.options(name=name).remote(source, name, self._store, self._scale)

    def _groups_that_fit(self) -> int:
        train, there = self._scale.train, ray.cluster_resources()
        wanted = {"CPU": train.cpus, "GPU": train.gpus} | dict(train.resources)
        fits = [there.get(name, 0.0) / (train.workers[1] * amount) for name, amount in wanted.items() if amount]
        return max(1, int(min(fits)))

    @staticmethod
    async def _timed(progress: Progress, start: Callable[[], Any]) -> JSON:
        began = time.monotonic()
        progress.state = "running"
        metrics: JSON = await start()
        progress.seconds = time.monotonic() - began
        return metrics


@ray.remote(max_retries=0)
def run_step(step: Step, store: Store, scale: Scale) -> JSON:
    """Run a stage in its folder and commit it; memo runs it again when its worker or its node is lost."""
    began = time.monotonic()
    metrics = stage(step.stage)(Job.open(step, store, scale))
    seconds = time.monotonic() - began
    where = ran(seconds) if step.stage in COMPUTING else fingerprint()  # the others' work may be on other workers
    return store.commit(step, metrics, seconds, where).metrics


def is_lost(error: BaseException) -> bool:
    """Whether a process, a node or the store's server went away.

    Where one of several processes did, the others' errors only follow from it.
    """
    cause = getattr(error, "cause", None) or error
    inner = [getattr(cause, name, None) for name in ("health_check_failure", "controller_failure")]  # Ray Train's
    inner += getattr(cause, "worker_failures", {}).values()
    return isinstance(cause, _LOST) or any(is_lost(one) for one in inner if one)


@ray.remote(num_cpus=0, max_retries=0)
def run_group(source: Any, name: str, store: Store, scale: Scale) -> None:
    """Run one worker group of Ray Train; memo asks for the training it held again when a part of it is lost."""
    from worldgrid.stages.train import fit

    fit(source, name, store, scale)


def last_line(error: BaseException) -> str:
    """The innermost cause in one line; Ray wraps what a worker raised."""
    cause = getattr(error, "cause", None) or error
    return traceback.format_exception_only(cause)[-1].strip().splitlines()[-1]


def write_log(store: Store, key: str, error: BaseException) -> str:
    """Leave the whole of an error in the store, and say where; empty where the store takes no file any more."""
    path = store.root / "logs" / f"{key}.log"
    try:
        write_whole(path, "".join(traceback.format_exception(error)).encode())
    except OSError:
        return ""
    return str(path)
