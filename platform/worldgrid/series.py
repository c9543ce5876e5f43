"""Series: several grids, from a folder or one by one: their files, and their trials and steps as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from worldgrid.grid import Grid, read_grid
from worldgrid.layers import read_sheet
from worldgrid.spec import ConfigError, read_text


@dataclass(frozen=True)
class Series:
    """Grids that belong together."""

    name: str
    """The folder's, or the grids' own."""
    files: tuple[Path, ...]
    grids: tuple[Grid, ...]
    """One for each file."""

    @cached_property
    def whole(self) -> Grid:
        """All of them as one grid: every distinct trial once, on what the first grid runs on. A single grid is itself.

        It has no axes: a trial has the labels of the first grid that has it.
        """
        if len(self.grids) == 1:
            return self.grids[0]
        trials = {trial.key: trial for grid in reversed(self.grids) for trial in reversed(grid.trials)}
        first = self.grids[0]
        return Grid(
            name=self.name,
            question=f"{len(self.grids)} grids",
            source="",
            overrides=first.overrides,
            axes={},
            trials=list(reversed(trials.values())),
            baseline={},
            scale=first.scale,
            store=first.store,
        )


def read_series(file: Path, words: Sequence[str] = (), *, without_weights: bool = False) -> Series:
    """The grids of a file or a folder and of the `words` that name more of them; other words are overrides of all.

    Every grid is read before any is given back. Raises ConfigError in one line.
    """
    more = [Path(word) for word in words if _names_a_file(word)]
    overrides = [word for word in words if not _names_a_file(word)]
    files = [found for path in (file, *more) for found in grid_files(path)]
    grids = [read_grid(path, overrides, without_weights=without_weights) for path in files]
    named: dict[str, Path] = {}
    for grid, path in zip(grids, files, strict=True):
        if grid.search and len(grids) > 1:
            raise ConfigError(f"{path}: a search decides as it goes which trials go on; by itself it fits")
        if grid.name in named:
            raise ConfigError(f"{path}: is called '{grid.name}' as {named[grid.name]} is; a name of its own fits")
        named[grid.name] = path
    name = file.resolve().name if file.is_dir() and not more else "+".join(named)
    if len(grids) > 1 and name in named:
        raise ConfigError(f"{named[name]}: is called '{name}' as all of {file} is; another name fits")
    return Series(name, tuple(files), tuple(grids))


def _names_a_file(word: str) -> bool:
    return "=" not in word or Path(word).is_file()


def grid_files(path: Path) -> list[Path]:
    """The grid files right inside a folder, by name; a file is itself."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.yaml"))
    if not found:
        raise ConfigError(f"{path}: a grid file, or a folder with some (*.yaml), fits")
    return found


def grid_names(folder: Path) -> list[str]:
    """What the grids of a folder are called; their trials are not read."""
    sheets = [(read_sheet(read_text(path), str(path)), path) for path in grid_files(folder)]
    return [str(sheet.content.get("name", path.stem)) for sheet, path in sheets]
