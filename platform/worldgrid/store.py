"""The store: one folder per step, named by its key, committed once by `done.json` and never touched again.

A folder without `done.json` is unfinished: whatever lies in it may be resumed from or written over.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from worldgrid.spec import JSON, ConfigError
from worldgrid.step import Step

DONE = "done.json"


@dataclass(frozen=True)
class Done:
    """What `done.json` says of a finished step."""

    key: str
    recipe: JSON
    metrics: JSON
    seconds: float
    """Wall-clock seconds the step took where it ran."""
    finished: float
    """Unix time of the commit."""
    host: JSON
    """Where it ran: machine, versions, commit. Never part of a key."""


class Store:
    """A folder of steps. All paths it hands out are on this machine."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (str(self.root),)

    def prepare(self) -> None:
        """Make the folder and try to write in it; raises ConfigError when that fails."""
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"store {self.root}: cannot be written: {error.strerror}") from None

    def workspace(self, key: str) -> Path:
        """The folder in which a running step writes; made if missing."""
        folder = self.root / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def folder(self, key: str) -> Path:
        """The folder of a finished step, to read."""
        return self.root / key

    def done(self, key: str) -> Done | None:
        """The commit of a step, or None while it is unfinished."""
        path = self.root / key / DONE
        try:
            return Done(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); move the folder away to run it again") from None

    def commit(self, step: Step, metrics: JSON, seconds: float, host: JSON) -> Done:
        """Finish a step: write `done.json` once. Who comes second gets the first one's commit."""
        done = Done(step.key, step.recipe, metrics, seconds, time.time(), host)
        write_once(self.workspace(step.key) / DONE, json.dumps(done.__dict__, indent=1).encode())
        committed = self.done(step.key)
        assert committed is not None
        return committed


def write_once(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all, and only if it does not exist; says whether it was written."""
    scratch = _scratch(path, content)
    try:
        os.link(scratch, path)
        return True
    except FileExistsError:
        return False
    finally:
        scratch.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, replacing an older one."""
    os.replace(_scratch(path, content), path)


def _scratch(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent / f".{path.name}.{os.getpid()}.{time.monotonic_ns()}"
    with scratch.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return scratch


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
