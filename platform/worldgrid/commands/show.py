"""`worldgrid show FILE...`: a grid, or the grids of a folder, before they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    file: Annotated[Path, typer.Argument(help="A grid file, or a folder of them.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="More files, and settings by path: train.lr=1e-3, or planner.samples=100,300 for an axis."),
    ] = None,
    *,
    store: Annotated[
        str | None,
        typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder or s3://bucket/prefix; the file's by default."),
    ] = None,
    price: Annotated[bool, typer.Option("--price", help="Also what it costs: FLOPs, hours, bytes, savings.")] = False,
    gpu_hour: Annotated[float, typer.Option("--gpu-hour", help="Price of an hour of a GPU.", min=0)] = 0.0,
    rate: Annotated[
        float | None, typer.Option("--rate", help="FLOPs a second of one worker; measured here by default.", min=1)
    ] = None,
) -> None:
    """Trials, distinct steps, and which of them are in the store already. Starts nothing, fetches no weights."""
    from worldgrid.commands.price import print_price
    from worldgrid.console import show_grid, show_series
    from worldgrid.price import price as priced
    from worldgrid.reference import beside
    from worldgrid.series import read_series
    from worldgrid.store import Store

    series = read_series(file, overrides or (), without_weights=True)
    there = Store(store or series.grids[0].store)
    if len(series.grids) == 1:
        show_grid(series.grids[0], there)
    else:
        show_series(series, there)
    if price:
        found = priced(series.whole, there, gpu_hour=gpu_hour, flops_per_second=rate)
        print_price(found, gpu_hour, published=beside(series.files) if len(series.grids) > 1 else ())
