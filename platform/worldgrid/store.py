"""The store: one folder per step, named by its key, committed once by `done.json` and never touched again.

A folder without `done.json` is unfinished: whatever lies in it may be resumed from or written over. A store is a folder
of this machine, or `s3://bucket/prefix` mirrored in one: files go there as they are written whole, and come here when
they are asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from worldgrid.bucket import Bucket
from worldgrid.spec import JSON, ConfigError
from worldgrid.step import Step

DONE = "done.json"
CACHE = "WORLDGRID_CACHE"
"""Environment: the folder that mirrors stores on S3."""
_BUCKETS: dict[Path, Bucket] = {}
"""Of the stores on S3 that this process uses, by the folders that mirror them."""


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
    files: Mapping[str, JSON] = field(default_factory=dict)
    """Path -> `bytes` and `sha256` of every file of the step."""


class Store:
    """Steps by key. All paths it hands out are on this machine."""

    def __init__(self, address: str | Path) -> None:
        self._bucket: Bucket | None = None
        if str(address).startswith("s3:"):
            self.address = str(address).rstrip("/")
            cache = os.environ.get(CACHE) or Path.home() / ".cache" / "worldgrid"
            self.root = Path(cache).expanduser().absolute() / "s3" / self.address.removeprefix("s3://")
            self._bucket = _BUCKETS.setdefault(self.root, Bucket(self.address, self.root))
        else:
            self.root = Path(address).expanduser().absolute()
            self.address = str(self.root)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.address,)

    def prepare(self) -> None:
        """Make the folder and try to write in it; raises ConfigError when that fails."""
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"store {self.root}: cannot be written: {error.strerror}") from None
        if self._bucket:
            self._bucket.check()

    def workspace(self, key: str) -> Path:
        """The folder in which a running step writes, with what is there of it so far; made if missing."""
        folder = self.root / key
        folder.mkdir(parents=True, exist_ok=True)
        return self.folder(key)

    def folder(self, key: str, *names: str) -> Path:
        """The folder of a step, to read; of a store on S3, these of its files (patterns; all unless named) are here."""
        if self._bucket:
            done = self.done(key)
            self._bucket.pull(key, done.files if done else None, names)
        return self.root / key

    def file(self, *parts: str) -> Path:
        """A file that is no step's (a grid's record), to read: brought here first from a store on S3."""
        return self._bucket.bring("/".join(parts)) if self._bucket else self.root.joinpath(*parts)

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder that is no step's."""
        if self._bucket:
            return sorted(name.removeprefix(f"{folder}/") for name in self._bucket.named(folder))
        there = self.root / folder
        return sorted(path.name for path in there.iterdir() if path.is_file()) if there.is_dir() else []

    def done(self, key: str) -> Done | None:
        """The commit of a step, or None while it is unfinished."""
        path = f"{self.root}/{key}/{DONE}"  # as text: grids of ten thousand trials ask often
        if self._bucket and (key not in self._bucket.finished() or not self._known(key, Path(path))):
            return None
        try:
            with open(path, encoding="utf-8") as file:
                return Done(**json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); move the folder away to run it again") from None

    def _known(self, key: str, path: Path) -> bool:
        """Whether a commit of the bucket is here now."""
        assert self._bucket is not None
        if not path.exists():
            content = self._bucket.read(f"done/{key}.json")
            if content is None:
                return False
            write_once(path, content)
        return True

    def commit(self, step: Step, metrics: JSON, seconds: float, host: JSON) -> Done:
        """Finish a step: write `done.json` once. Who comes second gets the first one's commit."""
        folder = self.workspace(step.key)
        files = {path.relative_to(folder).as_posix(): _content(path) for path in _files(folder)}
        done = Done(step.key, step.recipe, metrics, seconds, time.time(), host, files)
        content = json.dumps(done.__dict__, indent=1).encode()
        if self._bucket:
            for path in files:
                self._bucket.offer(folder / path)
            content = self._bucket.commit(step.key, content)
        write_once(folder / DONE, content)
        committed = self.done(step.key)
        assert committed is not None
        if self._bucket:
            for path in (path for path, content in files.items() if committed.files.get(path) != content):
                (folder / path).unlink()  # another cluster was first: its files come here when they are asked for
            self._bucket.sweep(step.key, committed.files)
            self._bucket.trim()
        return committed

    def verify(self, key: str) -> None:
        """Raises ConfigError where a file of a finished step is not as it was committed."""
        done, folder = self.done(key), self.folder(key)
        for name, content in done.files.items() if done else ():
            path = folder / name
            if not path.exists():
                raise ConfigError(f"{path}: missing; move the folder away to run the step again")
            if _content(path) != content:
                raise ConfigError(f"{path}: damaged (its SHA-256 is another); move the folder away to run it again")

    def claim(self, key: str) -> IO[bytes] | None:
        """The right to run a step, for as long as the file is open; None while another process of a machine has it."""
        lock = (self.workspace(key) / ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def every_key(self) -> list[str]:
        """Every step that has a folder, finished or not."""
        there = self._bucket.finished() if self._bucket else ()
        here = (path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else ()
        return sorted({*there, *(name for name in here if _is_key(name))})

    def size(self, key: str) -> int:
        """Bytes of a step, as committed or as they lie here."""
        done = self.done(key)
        if done and done.files:
            return sum(content["bytes"] for content in done.files.values())
        return sum(path.stat().st_size for path in _files(self.root / key))

    def remove(self, key: str) -> None:
        """Remove a step; without its commit first, so that what is left of it when this is stopped is unfinished."""
        if self._bucket:
            self._bucket.drop(key)
        (self.root / key / DONE).unlink(missing_ok=True)
        shutil.rmtree(self.root / key, ignore_errors=True)


def _is_key(name: str) -> bool:
    stage, _, digest = name.rpartition("-")
    return bool(stage) and len(digest) == 12 and not name.startswith(".")


def _files(folder: Path) -> Iterator[Path]:
    """The files of a step: not its commit, not what is hidden."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path != folder / DONE:
            yield path


def _content(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def offer(path: Path) -> None:
    """Show other machines a file that was written; nothing to do in a store that is a folder."""
    for root, bucket in _BUCKETS.items():
        if path.is_relative_to(root):
            bucket.offer(path)


def gather(folder: Path) -> None:
    """Bring what other machines wrote of an unfinished step; nothing to do in a store that is a folder."""
    for root, bucket in _BUCKETS.items():
        if folder.is_relative_to(root):
            bucket.pull(folder.relative_to(root).parts[0], None, ())


def write_once(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all, and only if it does not exist; says whether it was written."""
    scratch = _scratch(path, content)
    try:
        os.link(scratch, path)
    except FileExistsError:
        return False
    finally:
        scratch.unlink()
    if path.name != DONE:
        offer(path)
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, replacing an older one."""
    os.replace(_scratch(path, content), path)
    offer(path)


def _scratch(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent / f".{path.name}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk: leave no half of a file
        scratch.unlink(missing_ok=True)
        raise
    return scratch


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
