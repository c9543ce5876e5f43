"""A grid's results as plain tables for people's own plots: trials, choices, episodes and curves, Parquet and CSV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from worldgrid.answers import make_choices
from worldgrid.curve import read_curve
from worldgrid.results import COLUMNS, Grid, curve_path, read_grid
from worldgrid.store import Store, write_whole
from worldgrid.tables import choices_to_csv, make_rows, to_csv


def write_tables(store: Store, name: str, folder: Path) -> list[Path]:
    """Write `trials`, `choices`, `episodes` and `curves`, each as `.parquet` and `.csv`; the files written."""
    grid = read_grid(store, name)
    found = {
        "trials": _parsed(to_csv(grid, make_rows(grid))),
        "choices": _parsed(choices_to_csv(grid, make_choices(grid))),
        "episodes": pa.concat_tables(_episodes(grid)),
        "curves": _curves(store, grid),
    }
    return [path for title, table in found.items() for path in _write(folder / title, table)]


def _parsed(text: str) -> pa.Table:
    return pyarrow.csv.read_csv(io.BytesIO(text.encode()))


def _write(path: Path, table: pa.Table) -> Iterator[Path]:
    whole, plain = io.BytesIO(), io.BytesIO()
    pq.write_table(table, whole, compression="zstd")
    pyarrow.csv.write_csv(table, plain)
    for suffix, content in ((".parquet", whole), (".csv", plain)):
        write_whole(path.with_suffix(suffix), content.getvalue())
        yield path.with_suffix(suffix)


def _episodes(grid: Grid) -> Iterator[pa.Table]:
    """One row per played episode: its trial, labels, checkpoint and outcome."""
    for trial in grid.trials:
        for one in trial.evaluations:
            n = len(one.episodes)
            labels = {f"axis.{axis}" if axis in COLUMNS else axis: label for axis, label in trial.labels.items()}
            named = {"trial": trial.key} | labels
            columns = {name: pa.array([value] * n, pa.string()) for name, value in named.items()}
            columns |= {"epoch": pa.array([one.epoch] * n, pa.int64())}
            yield pa.table(columns | {name: getattr(one.episodes, name) for name in COLUMNS})


def _curves(store: Store, grid: Grid) -> pa.Table:
    """One row per value: training, step, epoch, metric, value; trials that share a training share its rows."""
    schema = pa.schema(
        [
            ("train", pa.string()),
            ("step", pa.int64()),
            ("epoch", pa.int64()),
            ("metric", pa.string()),
            ("value", pa.float64()),
        ]
    )
    rows = [
        {"train": key, "step": line["step"], "epoch": line.get("epoch"), "metric": metric, "value": value}
        for key in sorted({trial.steps["train"] for trial in grid.trials})
        for line in read_curve(curve_path(store, key))[0]
        for metric, value in line.items()
        if metric not in ("step", "epoch", "time")
    ]
    return pa.Table.from_pylist(rows, schema=schema)
