"""A learning curve on disk: `metrics.jsonl`, one line of numbers per log step, flushed as it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from worldgrid.spec import JSON
from worldgrid.store import offer, write_whole

OFFER_SECONDS = 10.0
"""Between showing a growing curve to other machines."""


class Curve:
    """Appends lines `{"step", "time", ...}`; lines of steps that will be done again are dropped first."""

    def __init__(self, path: Path, done: int) -> None:
        """Go on after step `done` of the file that may lie at `path`."""
        old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in old if line.endswith("}") and json.loads(line)["step"] <= done]
        write_whole(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")
        self._path, self._offered = path, time.monotonic()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append what was measured after `step` steps."""
        self._file.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._file.flush()
        if time.monotonic() - self._offered > OFFER_SECONDS:
            offer(self._path)
            self._offered = time.monotonic()


def last_values(path: Path) -> dict[str, float]:
    """The latest value of every metric of a curve."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: value for line in lines for name, value in line.items() if name not in ("step", "epoch", "time")}


def read_curve(path: Path, start: int = 0) -> tuple[list[JSON], int]:
    """The lines of a curve from byte `start` on, and where they end; a line still being written is left for later.

    A file that became shorter than `start` was begun anew and is read from its beginning.
    """
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        if start > path.stat().st_size:
            start = 0
        file.seek(start)
        text, newline, _ = file.read().rpartition(b"\n")
    return [json.loads(line) for line in text.splitlines()], start + len(text) + len(newline)
