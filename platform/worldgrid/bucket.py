"""A bucket: the far side of a store on S3. Every file of a step is an object named by its content, so none is replaced.

`<step>/<file>@<sha256>` are the files, finished or not; `done/<step>.json` is the commit, put once (`If-None-Match`),
and names the files that count. Everything else (grids, reports) lies under its own name. Clusters that write the same
step at once leave objects side by side; the commit that was first decides. botocore retries with back-off.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from worldgrid.spec import JSON, ConfigError

CACHE_GB = "WORLDGRID_CACHE_GB"
"""Environment: how large a mirror may grow before finished steps that nobody reads leave it (default 100)."""
_READING = ".reading"
"""Locked by every process that may read a finished step of the mirror; its time says when one last did."""
_STEP = re.compile(r"[a-z]+-[0-9a-f]{12}")
_LISTED_SECONDS = 2.0
"""How long a list of finished steps is believed."""
_ATTEMPTS = 12
"""Times botocore asks before an error is one; its back-off makes that about two minutes."""
_WAITS = {"connect_timeout": 5, "read_timeout": 60}
"""Seconds that one request waits for a connection, and for an answer."""
_BROUGHT, _HERE = ".brought", "-"
"""Notes in a step's folder of the mirror: which content of a file came from elsewhere, or that it was written here."""
_PART = 64 * 2**20
"""Bytes from which a file is sent in parts, and of each part."""


class AwayError(ConnectionError):
    """The server of a store did not answer, however often it was asked: nobody's fault, and it may come back."""


@dataclass(frozen=True)
class Held:
    """One version of a file in the bucket."""

    name: str
    bytes: int
    written: float
    """Unix time, the server's."""

    @property
    def path(self) -> str:
        """The file's path within its step."""
        return self.name.partition("/")[2].rpartition("@")[0]

    @property
    def sha256(self) -> str:
        """What the file's content must be."""
        return self.name.rpartition("@")[2]


class Bucket:
    """`s3://bucket/prefix`, mirrored in a folder of this machine. `AWS_ENDPOINT_URL` names any S3-compatible server."""

    def __init__(self, address: str, root: Path) -> None:
        self._bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
        if not self._bucket:
            raise ConfigError(f"store: given '{address}'; s3://bucket/prefix fits")
        self.address = address
        self._prefix = f"{prefix}/" if prefix else ""
        self._root = root
        self._finished: frozenset[str] = frozenset()
        self._listed = -_LISTED_SECONDS
        self._sent: dict[Path, str] = {}
        self._reading: dict[str, IO[bytes]] = {}

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        client = boto3.client("s3", config=Config(retries={"max_attempts": _ATTEMPTS, "mode": "standard"}, **_WAITS))
        for event in ("after-call-error.s3", "after-call.s3"):
            client.meta.events.register(event, self._heard)
        return client

    def _heard(self, exception: Exception | None = None, http_response: Any = None, **_: object) -> None:
        """Tell a server that is away, which no fault of ours made so, from one that says no."""
        from botocore import exceptions

        status = getattr(http_response, "status_code", 0)
        if status >= 500 or isinstance(exception, exceptions.ConnectionError | exceptions.HTTPClientError):
            raise AwayError(f"store {self.address}: its server does not answer: {exception or status}") from exception

    def check(self) -> None:
        """Raises ConfigError unless the bucket can be written, and keeps a name to who was first."""
        from botocore.exceptions import BotoCoreError, ClientError

        name = f".probe/{uuid.uuid4().hex}"
        try:
            self.put_once(name, b"")
            twice = self.put_once(name, b"")
            self.delete(name)
        except (AwayError, BotoCoreError, ClientError) as error:
            raise ConfigError(f"store {self.address}: cannot be written: {' '.join(str(error).split())}") from None
        if twice:
            raise ConfigError(f"store {self.address}: its server ignores `If-None-Match`, so nothing is committed once")

    def put_once(self, name: str, content: bytes) -> bool:
        """Put an object unless its name is taken; says whether it was."""
        from botocore.exceptions import ClientError

        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """An object's content, or None where there is none; asked for again where the answer broke off."""
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        for _ in range(_ATTEMPTS):
            try:
                body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                return None
            except (HTTPClientError, IncompleteReadError):
                continue
            return body
        raise AwayError(f"store {self.address}: {name} broke off {_ATTEMPTS} times")

    def delete(self, name: str) -> None:
        """Remove an object that nothing needs."""
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def _list(self, below: str) -> Iterator[Held]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + below)
        for page in pages:
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(self._prefix)
                yield Held(name, found["Size"], found["LastModified"].timestamp())

    def finished(self) -> frozenset[str]:
        """The keys of all committed steps."""
        if (now := time.monotonic()) - self._listed >= _LISTED_SECONDS:
            self._finished = frozenset(held.name[len("done/") : -len(".json")] for held in self._list("done/"))
            self._listed = now
        return self._finished

    def commit(self, key: str, content: bytes) -> bytes:
        """Finish a step, whose files were sent; the content that was first, ours or another cluster's."""
        self.put_once(name := f"done/{key}.json", content)
        committed = self.read(name)
        assert committed is not None, f"{name} was taken and is gone"
        self._listed = -_LISTED_SECONDS
        return committed

    def _versions(self, key: str, files: Mapping[str, JSON] | None) -> dict[str, Held]:
        """Path -> the version of each file of a step that counts: a commit's, or the newest."""
        found: dict[str, Held] = {}
        for held in sorted(self._list(f"{key}/"), key=lambda held: held.written):
            if files is None or files.get(held.path, {}).get("sha256") == held.sha256:
                found[held.path] = held
        return found

    def offer(self, path: Path) -> None:
        """Send a file of the mirror, written whole; an older version that this process sent goes away."""
        relative = path.relative_to(self._root)
        if not _STEP.fullmatch(relative.parts[0]):
            self._send(path, relative.as_posix())
            return
        key, inside = relative.parts[0], "/".join(relative.parts[1:])
        if inside in self._brought(key):
            self._note(key, inside, _HERE)
        name = f"{relative.as_posix()}@{_digest(path)}"
        before = self._sent.get(path)
        if name != before:
            self._send(path, name)
            self._sent[path] = name
            if before and key not in self.finished():  # another cluster may have committed the same bytes
                self.delete(before)

    def _send(self, path: Path, name: str) -> None:
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART)
        self._client.upload_file(str(path), self._bucket, self._prefix + name, Config=parts)

    def pull(self, key: str, files: Mapping[str, JSON] | None, names: Sequence[str]) -> None:
        """Have the files of a step here (those that match a pattern; all without any); `files` are a commit's.

        Of an unfinished step, what another machine wrote again is brought again; what was written here stays.
        """
        folder, brought = self._root / key, self._brought(key)
        if files is not None:
            self._keep(key)
        for path, held in self._versions(key, files).items():
            there = folder / path
            if files is None:
                stale = path in brought and brought[path] != held.sha256
            else:
                stale = there.exists() and there.stat().st_size != held.bytes
            if (stale or not there.exists()) and (not names or any(fnmatch(path, name) for name in names)):
                self._fetch(key, path, held)

    def _brought(self, key: str) -> dict[str, str]:
        """Path -> SHA-256 of the files of a step that came from elsewhere and were not written here since."""
        notes = self._root / key / _BROUGHT
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        latest = {path: sha256 for sha256, _, path in (line.partition(" ") for line in lines)}
        return {path: sha256 for path, sha256 in latest.items() if sha256 != _HERE}

    def _note(self, key: str, path: str, sha256: str) -> None:
        with (self._root / key / _BROUGHT).open("a", encoding="utf-8") as notes:
            notes.write(f"{sha256} {path}\n")

    def _fetch(self, key: str, path: str, held: Held) -> None:
        """Bring a file here and check it; a second try where what came is not what was sent."""
        there = self._root / key / path
        there.parent.mkdir(parents=True, exist_ok=True)
        scratch = there.parent / f".{there.name}.{uuid.uuid4().hex}"
        try:
            for _ in range(2):
                self._client.download_file(self._bucket, self._prefix + held.name, str(scratch))
                if _digest(scratch) == held.sha256:
                    os.replace(scratch, there)
                    self._note(key, path, held.sha256)
                    return
        finally:
            scratch.unlink(missing_ok=True)
        raise ConfigError(
            f"{self.address}/{held.name}: damaged (its SHA-256 is another); remove done/{key}.json to run it again"
        )

    def bring(self, name: str) -> Path:
        """A file that lies under its own name (a grid's record, a report), brought here if it is there."""
        there = self._root / name
        if (content := self.read(name)) is not None:
            there.parent.mkdir(parents=True, exist_ok=True)
            scratch = there.parent / f".{there.name}.{uuid.uuid4().hex}"
            scratch.write_bytes(content)
            os.replace(scratch, there)
        return there

    def named(self, below: str) -> list[str]:
        """Names of the objects below a folder that is no step's."""
        return [held.name for held in self._list(f"{below}/")]

    def drop(self, key: str) -> None:
        """Remove a step, its commit first."""
        self.delete(f"done/{key}.json")
        for held in list(self._list(f"{key}/")):
            self.delete(held.name)

    def sweep(self, key: str, files: Mapping[str, JSON]) -> None:
        """Remove the objects of a committed step that its commit does not name."""
        kept = {f"{key}/{path}@{content['sha256']}" for path, content in files.items()}
        for held in list(self._list(f"{key}/")):
            if held.name not in kept:
                self.delete(held.name)

    def _keep(self, key: str) -> None:
        """Keep a finished step in the mirror for as long as this process may read it."""
        mark = self._root / key / _READING
        while key not in self._reading or not mark.exists():  # it may leave the mirror while we ask
            mark.parent.mkdir(parents=True, exist_ok=True)
            self._reading[key] = mark.open("ab")
            fcntl.flock(self._reading[key], fcntl.LOCK_SH)
        os.utime(mark)

    def trim(self) -> None:
        """Let finished steps that nobody reads leave the mirror, the longest unread first, while it is too large."""
        limit = 1e9 * float(os.environ.get(CACHE_GB, "100"))
        marks = sorted(self._root.glob(f"*/{_READING}"), key=lambda mark: mark.stat().st_mtime)
        sizes = [sum(path.stat().st_size for path in mark.parent.rglob("*") if path.is_file()) for mark in marks]
        total = sum(sizes)
        for mark, size in zip(marks, sizes, strict=True):
            if total <= limit:
                return
            with mark.open("ab") as lock, suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(mark.parent, ignore_errors=True)
                total -= size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
