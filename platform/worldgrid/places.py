"""Places: where a data set lies, a folder, an s3:// address or a Hugging Face name, read the same way everywhere."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, final

from worldgrid.spec import ConfigError

CHUNK = 1 << 22
"""Bytes fetched at once."""
HUGGING_FACE = re.compile(r"([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)")
"""`owner/name`, and a folder inside where only that is wanted."""


@final
class Place:
    """Files below one root, by their paths relative to it.

    Of a remote place the file opened last lies in a temporary one here: what fails on the way is a ConfigError, never
    taken for a file that is damaged.
    """

    def __init__(self, files: Any, root: str, address: str, *, remote: bool = False) -> None:
        self._files, self._root, self.address, self._remote = files, root.rstrip("/"), address, remote
        self._copy: tuple[str, IO[bytes]] | None = None

    def names(self, under: str = "") -> list[str]:
        """Paths of all files below a folder, sorted; none where there is no such folder."""
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(f"{self._root}/{under}".rstrip("/"), allow_not_found=True, recursive=True)
        with self._reaching():
            found = [info.path for info in self._files.get_file_info(selector) if info.type == FileType.File]
        return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        from pyarrow.fs import FileType

        with self._reaching():
            return bool(self._files.get_file_info(f"{self._root}/{name}").type == FileType.File)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to read and to seek in; raises OSError."""
        if self._remote:
            copy = self._fetched(name)
            copy.seek(0)
            yield copy
        else:
            with Path(self._root, name).open("rb") as file:
                yield file

    def read(self, name: str) -> bytes:
        """All of a file; raises OSError."""
        with self.open(name) as file:
            return file.read()

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file's content, in hexadecimal; None where it is not there."""
        try:
            with self.open(name) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        except FileNotFoundError:
            return None

    def _fetched(self, name: str) -> IO[bytes]:
        if self._copy is None or self._copy[0] != name:
            self._copy = None  # one at a time
            copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the place, or by the next one)
            with self._reaching(), self._files.open_input_stream(f"{self._root}/{name}") as stream:
                shutil.copyfileobj(stream, copy, CHUNK)
            self._copy = name, copy
        return self._copy[1]

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"source {self.address}: cannot be reached: {reason}") from None


def find(address: str) -> Place:
    """The place a user named; raises ConfigError in one line where it cannot be read.

    S3 takes credentials, region and endpoint (`AWS_ENDPOINT_URL`) from the environment, like every tool of AWS.
    """
    from pyarrow.fs import LocalFileSystem

    if address.startswith("s3://"):
        return _s3(address)
    folder = Path(address).expanduser().absolute()
    if folder.is_dir():
        return Place(LocalFileSystem(), str(folder), address)
    named = HUGGING_FACE.fullmatch(address)
    if named is None or folder.exists():
        raise ConfigError(f"source: given '{address}'; a folder, s3://bucket/prefix or a Hugging Face owner/name fits")
    return Place(LocalFileSystem(), str(_snapshot(named[1], named[2].strip("/"))), address)


def _s3(address: str) -> Place:
    from pyarrow.fs import S3FileSystem

    root, endpoint = address.removeprefix("s3://").rstrip("/"), os.environ.get("AWS_ENDPOINT_URL")
    files = S3FileSystem(
        **({"endpoint_override": endpoint} if endpoint else {}), connect_timeout=10, request_timeout=60
    )
    place = Place(files, root, address, remote=True)
    if not place.names():
        raise ConfigError(f"source {address}: there is nothing; s3://bucket/prefix of a data set fits")
    return place


def _snapshot(name: str, folder: str) -> Path:
    """A data set of Hugging Face in this machine's cache, fetched where it is not there yet."""
    import huggingface_hub as hub

    try:
        cached = hub.snapshot_download(name, repo_type="dataset", allow_patterns=[f"{folder}/**"] if folder else None)
    except Exception as error:  # of the HTTP library that the hub's version happens to use
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"source: '{name}' is no folder here, and Hugging Face gives no such data set ({reason}); where it is "
            "gated set HF_TOKEN, without a network name a folder"
        ) from None
    return Path(cached) / folder
