"""Memo: one running task per step key, for every trial of a grid. Who asks second awaits the first."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import ray

from worldgrid.host import fingerprint
from worldgrid.scale import Scale
from worldgrid.spec import JSON
from worldgrid.stages import COMPUTING, Job, stage
from worldgrid.step import Step
from worldgrid.store import Store

State = Literal["waiting", "running", "done", "cached", "failed"]


@dataclass
class Progress:
    """What is known of one step."""

    stage: str
    state: State
    error: str = ""
    """One line: which step failed, and why; of a step that only waited, the one it waited for."""
    seconds: float = 0.0
    """Wall-clock seconds since it began, or in all."""


class StepError(RuntimeError):
    """A step, or one it needs, ended with an error; the message is its last line."""


class Memo:
    """An asynchronous Ray actor: all its methods run in one thread, so its table needs no lock."""

    def __init__(self, store: Store, scale: Scale, pool: Any) -> None:
        self._store = store
        self._scale = scale
        self._pool = pool
        self._asked: dict[str, asyncio.Task[JSON]] = {}
        self._progress: dict[str, Progress] = {}
        self._training = asyncio.Condition()
        self._trainings = 0

    async def obtain(self, step: Step) -> JSON:
        """The metrics of a finished step, after running it and all it needs where they are not in the store."""
        asked = self._asked.get(step.key)
        if asked is None or (asked.done() and asked.exception() is not None):
            asked = asyncio.create_task(self._obtain(step))
            self._asked[step.key] = asked
        return await asyncio.shield(asked)

    def progress(self) -> dict[str, Progress]:
        """Every step that was asked for, by key."""
        return self._progress

    async def _obtain(self, step: Step) -> JSON:
        if done := self._store.done(step.key):
            self._progress[step.key] = Progress(step.stage, "cached", seconds=done.seconds)
            return done.metrics
        self._progress[step.key] = progress = Progress(step.stage, "waiting")
        try:
            await asyncio.gather(*(self.obtain(needed) for needed in step.inputs.values()))
            metrics = await self._run(step, progress)
        except Exception as error:
            failed = error if isinstance(error, StepError) else StepError(f"{step.key}: {last_line(error)}")
            progress.state, progress.error = "failed", str(failed)
            raise failed from error
        progress.state = "done"
        return metrics

    async def _run(self, step: Step, progress: Progress) -> JSON:
        if step.stage == "evaluate":
            return await self._timed(progress, lambda: self._pool.play.remote(step))
        task = run_step.options(num_cpus=self._scale.cpus if step.stage in COMPUTING else 0, name=step.key)
        if step.stage != "train":
            return await self._timed(progress, lambda: task.remote(step, self._store, self._scale))
        async with self._training:
            await self._training.wait_for(lambda: self._trainings < self._side_by_side())
            self._trainings += 1
        try:
            return await self._timed(progress, lambda: task.remote(step, self._store, self._scale))
        finally:
            async with self._training:
                self._trainings -= 1
                self._training.notify_all()

    def _side_by_side(self) -> int:
        """Trainings whose workers fit on the cluster at once: more would only wait and hold their places."""
        train, there = self._scale.train, ray.cluster_resources()
        fits = there.get("CPU", 1.0) / (train.workers * train.cpus)
        if train.gpus:
            fits = min(fits, there.get("GPU", 0.0) / (train.workers * train.gpus))
        return max(1, int(fits))

    @staticmethod
    async def _timed(progress: Progress, start: Callable[[], Any]) -> JSON:
        began = time.monotonic()
        progress.state = "running"
        metrics: JSON = await start()
        progress.seconds = time.monotonic() - began
        return metrics


@ray.remote(max_retries=3)
def run_step(step: Step, store: Store, scale: Scale) -> JSON:
    """Run a stage in its folder and commit it; a lost worker or node is retried, an error of the stage is not."""
    began = time.monotonic()
    inputs = {name: store.folder(needed.key) for name, needed in step.inputs.items()}
    metrics = stage(step.stage)(Job(step, inputs, store.workspace(step.key), scale))
    return store.commit(step, metrics, time.monotonic() - began, fingerprint()).metrics


def last_line(error: BaseException) -> str:
    """The innermost cause in one line; Ray wraps what a worker raised."""
    cause = getattr(error, "cause", None) or error
    return traceback.format_exception_only(cause)[-1].strip().splitlines()[-1]
