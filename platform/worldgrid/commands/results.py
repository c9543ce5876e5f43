"""`worldgrid results NAME --to FOLDER`: trials, choices, episodes and curves as tables for people's own plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def results(
    name: Annotated[str, typer.Argument(help="Name of a grid that ran.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write into; made if missing.")],
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Write a grid's results as Parquet and CSV: trials, choices, every episode, every point of every curve."""
    from worldgrid.extract import write_tables
    from worldgrid.store import Store

    for path in write_tables(Store(store), name, to):
        print(path)  # noqa: T201
