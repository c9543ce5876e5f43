"""Playing: one evaluation on its way through the pool: what is left, what came back, what had to be set aside."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from worldgrid import ledger
from worldgrid.spec import JSON
from worldgrid.step import Step


class ChunkError(RuntimeError):
    """Chunks took down every worker that played them; the rest of their evaluation is played."""


@dataclass(eq=False)
class Playing:
    """One evaluation that is being played."""

    step: Step
    waiting: list[range]
    """The chunks that were missing when it began."""
    tally: JSON
    """Episodes played, succeeded, set aside (`missing`) and in all."""
    left: int = 0
    """Chunks neither committed nor set aside."""
    began: float = field(default_factory=time.monotonic)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: dict[range, list[str]] = field(default_factory=dict)
    """What each of a chunk's lost workers left to say."""
    aside: list[str] = field(default_factory=list)
    """Chunks that are not tried again, and where their logs are."""
    spent: float = 0.0
    """Worker-seconds, those of chunks that were lost among them."""
    error: BaseException | None = None

    @classmethod
    def begin(cls, step: Step, folder: Path) -> Playing:
        """Count what the ledger has of an evaluation, and what it lacks."""
        every = ledger.chunks(step)
        there = [chunk for chunk in every if ledger.chunk_path(folder, chunk).exists()]
        waiting = [chunk for chunk in every if chunk not in there]
        tally = {"episodes": 0, "successes": 0, "missing": 0, "total": sum(map(len, every)), "running": True}
        one = cls(step, waiting, tally, left=len(waiting))
        for chunk in there:
            one.count(ledger.count(folder, chunk))
        if not waiting:
            one.finished.set()
        return one

    def count(self, counts: JSON) -> None:
        """Add a chunk's episodes and successes."""
        for name in ("episodes", "successes"):
            self.tally[name] += counts[name]

    def close(self) -> None:
        """One chunk less to wait for."""
        self.left -= 1
        if self.left == 0:
            self.finished.set()

    def fail(self, error: BaseException) -> None:
        """End it now; the first error is the one that is told."""
        self.error = self.error or error
        self.finished.set()

    def set_aside(self, chunk: range, folder: Path) -> None:
        """Give a chunk up, and leave what its workers said in a log."""
        deaths = self.deaths[chunk]
        log = ledger.set_aside(folder, chunk, "\n\n".join(deaths))
        self.aside.append(f"{chunk.start} to {chunk.stop - 1} took down {len(deaths)} workers, see {log}")
        self.tally["missing"] += len(chunk)
        self.close()

    def conclude(self) -> None:
        """It is over: raise what ended it too early, or ChunkError saying which episodes are missing."""
        self.tally["running"] = False
        if self.error is not None:
            raise self.error
        if self.aside:
            missing, total = self.tally["missing"], self.tally["total"]
            raise ChunkError(f"{missing} of {total} episodes are missing: {'; '.join(self.aside)}")
