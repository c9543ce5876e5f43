"""Reference: published numbers, a row each, to be set beside ours."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldgrid.spec import ConfigError, read_text

FILE = "reference.csv"
COLUMNS = ("quantity", "environment", "model", "planner", "norm", "value", "deviation", "unit", "source")


@dataclass(frozen=True)
class Published:
    """One published number."""

    quantity: str
    """`success_rate`, `gpu_hours`, `spearman_of_...`."""
    environment: str
    model: str
    planner: str
    norm: str
    value: float
    deviation: float | None
    """Standard deviation over epochs and seeds, where it is published."""
    unit: str
    source: str


def read_reference(path: Path) -> list[Published]:
    """The rows of a file like `experiments/paper/reference.csv`; raises ConfigError in one line."""
    rows = csv.DictReader(read_text(path).splitlines())
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise ConfigError(f"{path}: the columns {', '.join(COLUMNS)} fit; given {', '.join(rows.fieldnames or ())}")
    return [_published(row, f"{path}, line {rows.line_num}") for row in rows]


def _published(row: dict[str, str], where: str) -> Published:
    try:
        deviation = float(row["deviation"]) if row["deviation"] else None
        numbers = {"value": float(row["value"]), "deviation": deviation}
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: value '{row['value']}', deviation '{row['deviation']}'; numbers fit") from None
    return Published(**(row | numbers))  # type: ignore[arg-type]


def beside(files: Sequence[Path]) -> list[Published]:
    """The published numbers that lie beside some grid files."""
    folders = dict.fromkeys(file.parent for file in files)
    return [row for folder in folders if (folder / FILE).is_file() for row in read_reference(folder / FILE)]
