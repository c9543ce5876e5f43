"""Parquet files of which single rows, or the rows of one episode, are wanted; the piece read last stays in memory."""

from __future__ import annotations

from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from worldgrid.places import Place
from worldgrid.sources import CorruptError
from worldgrid.spec import ConfigError


@final
class Rows:
    """The rows of some Parquet files."""

    def __init__(self, place: Place, columns: list[str]) -> None:
        self._place, self._columns = place, columns
        self._held: tuple[str, int | None] = "", None
        self._piece: Any = None

    def group(self, file: str, group: int) -> Any:
        """A row group as a table; raises CorruptError where it cannot be read."""
        return self._read(file, group)

    def all(self, file: str) -> Any:
        """A whole file as a table; raises CorruptError where it cannot be read."""
        return self._read(file, None)

    def _read(self, file: str, group: int | None) -> Any:
        if self._held != (file, group):
            self._piece, self._held = None, ("", None)  # two pieces are never in memory
            try:
                with self._place.open(file) as opened, pq.ParquetFile(opened) as parquet:
                    read = parquet.read if group is None else lambda columns: parquet.read_row_group(group, columns)
                    self._piece = read(columns=self._columns)
            except (OSError, pa.ArrowException) as error:
                raise CorruptError(f"{file}: {' '.join(str(error).split())[:120]}") from None
            self._held = file, group
        return self._piece


def groups(place: Place, file: str, columns: list[str]) -> list[list[dict[str, Any]]]:
    """Some light columns of every row, by row group; raises ConfigError where they cannot be read."""
    try:
        with place.open(file) as opened, pq.ParquetFile(opened) as parquet:
            return [parquet.read_row_group(at, columns).to_pylist() for at in range(parquet.num_row_groups)]
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"source {place.address}: {file}: no Parquet file with {', '.join(columns)} ({reason})"
        ) from None
