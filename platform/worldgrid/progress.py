"""Progress: how far a running grid is, as plain values; its driver leaves them in the store for whoever asks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from worldgrid.spec import JSON
from worldgrid.store import Store, write_whole

State = Literal["waiting", "running", "done", "cached", "failed"]


class StepError(RuntimeError):
    """A step, or one it needs, ended with an error; the message is its last line."""


@dataclass
class Progress:
    """What is known of one step."""

    stage: str
    state: State
    error: str = ""
    """One line: which step failed, and why; of a step that only waited, the one it waited for."""
    seconds: float = 0.0
    """Wall-clock seconds since it began, or in all."""
    log: str = ""
    """Where the whole of a failed step's error lies."""
    lost: int = 0
    """How often its workers or their nodes went away."""


@dataclass
class Snapshot:
    """The state of a running grid."""

    steps: dict[str, Progress] = field(default_factory=dict)
    tallies: dict[str, JSON] = field(default_factory=dict)
    """Evaluation key -> episodes played and succeeded so far."""
    workers: tuple[int, int] = (0, 0)
    """Pool workers that play, and pool workers in all."""


@dataclass(frozen=True)
class Failure:
    """A step that failed by itself, and what waits for it."""

    key: str
    cause: str
    log: str
    trials: tuple[str, ...]
    """Names of the trials without a result because of it."""


def failures(snapshot: Snapshot, needs: Mapping[str, set[str]]) -> list[Failure]:
    """The steps that failed; `needs` says which steps each trial (by name) stands on."""
    return [
        Failure(key, step.error, step.log, tuple(name for name, keys in needs.items() if key in keys))
        for key, step in snapshot.steps.items()
        if step.state == "failed" and step.error.startswith(f"{key}: ")
    ]


@dataclass(frozen=True)
class Report:
    """The last that a grid's driver said."""

    snapshot: Snapshot
    said: float
    """Unix time."""
    began: float
    """Unix time at which this run of the grid began."""
    ended: bool


def write(store: Store, name: str, snapshot: Snapshot, began: float, *, ended: bool) -> None:
    """Leave the state of a grid where `read` finds it."""
    said = {"said": time.time(), "began": began, "ended": ended, "snapshot": asdict(snapshot)}
    write_whole(_path(store, name), json.dumps(said).encode())


def read(store: Store, name: str) -> Report | None:
    """What `write` left; None where no driver said anything yet."""
    path = store.file("progress", f"{name}.json")
    if not path.exists():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    shown = said.pop("snapshot")
    steps = {key: Progress(**step) for key, step in shown["steps"].items()}
    playing, workers = shown["workers"]
    return Report(Snapshot(steps, shown["tallies"], (playing, workers)), **said)


def _path(store: Store, name: str) -> Path:
    return store.root / "progress" / f"{name}.json"
