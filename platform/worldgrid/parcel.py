"""A parcel: what is sent to a cluster for a grid: its file and, from a checkout, source that git does not ignore."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import worldgrid
from worldgrid.grid import Grid, make_grid
from worldgrid.layers import read_sheet
from worldgrid.spec import ConfigError, read_text, read_yaml
from worldgrid.step import digest

LIMIT = 100 * 2**20
"""Bytes that Ray's Jobs API takes (`Maximum request body size 104857600 exceeded`, Ray 2.60)."""
SHOWN = 3
"""Largest files that a refused upload names."""


@dataclass(frozen=True)
class Parcel:
    """A grid and the files that go with it."""

    grid: Grid
    file: str
    """The grid file's path there."""
    files: Mapping[str, Path]
    """Path there -> file here."""
    source: bool
    """Whether worldgrid's own source goes along, from a checkout; else the cluster has it installed."""

    @property
    def submission(self) -> str:
        """`planners-0123456789ab`: from the grid's name and content; the same grid is the same submission."""
        return f"{self.grid.name}-{digest([self.grid.source, list(self.grid.overrides)])}"

    @property
    def content(self) -> str:
        """Digest of all files, to see whether a running job has other ones."""
        whole = hashlib.sha256()
        for name, path in sorted(self.files.items()):
            whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()[:12]

    def lay_out(self, folder: Path) -> None:
        """Copy the files into an empty folder, as they will lie there."""
        for name, path in self.files.items():
            there = folder / name
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def pack(file: Path, overrides: Sequence[str] = (), *, allow_code: bool = False) -> Parcel:
    """The parcel of a grid file. Raises ConfigError in one line; code from outside is not even imported before that.

    `allow_code` lets the grid name `kind: package.module:Class`; the package goes along unless it is an installed one.
    """
    text = read_text(file)
    sheet = read_sheet(text, str(file))
    outside = sorted({*_outside(sheet.content), *_outside(_written(overrides))})
    if outside and not allow_code:
        raise ConfigError(f"{file}: runs code from outside worldgrid: {', '.join(outside)}; --allow-code lets it")
    grid = make_grid(text, file.stem, str(file), overrides, without_weights=True)
    files = _source()
    source = bool(files)
    for package in {address.partition(":")[0].partition(".")[0] for address in outside}:
        files |= _package(package)
    laid = _laid_out(sheet.files)
    files |= {name: path for path, name in laid.items()}
    _check_size(files)
    return Parcel(grid, laid[file.resolve()], files, source)


def _laid_out(files: Sequence[Path]) -> dict[Path, str]:
    """The grid file and those it extends -> their paths there, which lie to each other as here."""
    paths = [path.resolve() for path in files]
    root = os.path.commonpath([path.parent for path in paths])
    return {path: path.relative_to(root).as_posix() for path in paths}


def _written(overrides: Sequence[str]) -> dict[str, Any]:
    pairs = (override.partition("=") for override in overrides)
    return {path: read_yaml(f"[{value}]", f"override '{path}'") for path, _, value in pairs}


def _outside(value: Any, *, kind: bool = False) -> Iterator[str]:
    """Every `package.module:Class` that stands under a `kind`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _outside(inner, kind=str(name).rpartition(".")[2] == "kind")
    elif isinstance(value, list):
        for inner in value:
            yield from _outside(inner, kind=kind)
    elif kind and isinstance(value, str) and ":" in value:
        yield value


def _source() -> dict[str, Path]:
    """The files of the checkout that this package runs from that git does not ignore; none where it is installed."""
    root, git = Path(worldgrid.__path__[0]).parents[1], shutil.which("git")
    if git is None or not (root / ".git").exists():
        return {}
    listing = [git, "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")  # noqa: S603
    return {name: root / name for name in names if name and (root / name).is_file()}


def _package(name: str) -> dict[str, Path]:
    """The Python files of a package that is not an installed one."""
    found = importlib.util.find_spec(name)
    if found is None or not found.origin:
        raise ConfigError(f"package '{name}' cannot be found from here")
    origin = Path(found.origin)
    if origin.is_relative_to(sysconfig.get_path("purelib")) or name == "worldgrid":
        return {}
    if not found.submodule_search_locations:
        return {origin.name: origin}
    root = origin.parent
    return {f"{name}/{path.relative_to(root).as_posix()}": path for path in root.rglob("*.py")}


def _check_size(files: Mapping[str, Path]) -> None:
    sizes = {name: os.path.getsize(path) for name, path in files.items()}
    if sum(sizes.values()) > LIMIT:
        largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:SHOWN]
        named = ", ".join(f"{name} ({_mib(sizes[name])})" for name in largest)
        raise ConfigError(
            f"upload: {_mib(sum(sizes.values()))}; at most {_mib(LIMIT)} fits. The largest: {named}; .gitignore leaves "
            "files out"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
