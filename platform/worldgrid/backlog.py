"""The backlog: chunks of episodes that wait to be played, and which comes next. Pure: knows neither workers nor Ray.

Urgent evaluations come first. Among equals the trials share: each has a clock that counts the chunks it was given, a
new one starts at the present, and the one furthest behind is next (start-time fair queueing). A worker that holds a
trial's world model may stay with it while that is at most `LEAD` chunks ahead, because another one has to be loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from worldgrid.step import Step, digest

LEAD = 4
"""Chunks by which a trial may be ahead of the one furthest behind, for the sake of a loaded model."""


def model_name(step: Step) -> str:
    """Equal for evaluations that plan with the same world model."""
    inputs = {name: needed.key for name, needed in step.inputs.items() if name != "tasks"}
    config = {name: step.config.get(name) for name in ("env", "encoder", "weights", "epoch")}
    imagined = {name: step.config["mpc"].get(name) for name in ("context", "precision", "memory", "compile")}
    return digest([inputs, config, imagined])


def trial_name(step: Step) -> str:
    """Equal for the evaluations of one trial, whatever checkpoint they are of."""
    config = {name: value for name, value in step.config.items() if name != "epoch"}
    return digest([config, {name: needed.key for name, needed in step.inputs.items()}])


@dataclass(eq=False)
class _Waiting:
    """One evaluation's chunks that nobody plays."""

    step: Step
    trial: str
    model: str
    priority: int
    chunks: deque[range]


class Backlog:
    """Chunks by evaluation, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._clocks: dict[str, int] = {}
        self._present = 0

    def __len__(self) -> int:
        """Chunks that wait."""
        return sum(len(one.chunks) for one in self._waiting.values())

    @property
    def episodes(self) -> int:
        """Episodes that wait."""
        return sum(len(chunk) for one in self._waiting.values() for chunk in one.chunks)

    def add(self, step: Step, chunks: Iterable[range], priority: int = 0) -> None:
        """Let an evaluation's chunks wait; those of a higher priority are taken before all others."""
        one = _Waiting(step, trial_name(step), model_name(step), priority, deque(chunks))
        self._waiting[step.key] = one
        self._clocks[one.trial] = max(self._clocks.get(one.trial, 0), self._present)

    def drop(self, step: Step) -> None:
        """Forget what waits of an evaluation."""
        self._waiting.pop(step.key, None)
        trials = {one.trial for one in self._waiting.values()}
        self._clocks = {trial: clock for trial, clock in self._clocks.items() if trial in trials}

    def give_back(self, step: Step, chunk: range) -> None:
        """A chunk that was taken waits again, before the others of its evaluation."""
        self._waiting[step.key].chunks.appendleft(chunk)

    def take(self, held: Collection[str] = ()) -> tuple[Step, range] | None:
        """The next chunk for a worker that holds these world models, if any waits."""
        waiting = [one for one in self._waiting.values() if one.chunks]
        if not waiting:
            return None
        first = max(one.priority for one in waiting)
        urgent = [one for one in waiting if one.priority == first]
        self._present = min(self._clocks[one.trial] for one in urgent)
        kept = [one for one in urgent if one.model in held and self._clocks[one.trial] < self._present + LEAD]
        chosen = min(kept or urgent, key=lambda one: self._clocks[one.trial])
        self._clocks[chosen.trial] += 1
        return chosen.step, chosen.chunks.popleft()
