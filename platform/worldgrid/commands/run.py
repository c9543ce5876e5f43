"""`worldgrid run FILE...`: a grid, or the grids of a folder as one, each with its own report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worldgrid.grid import Grid
    from worldgrid.progress import Snapshot
    from worldgrid.series import Series
    from worldgrid.store import Store


def run(
    file: Annotated[Path, typer.Argument(help="A grid file, or a folder of them.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="More files, and settings by path: train.lr=1e-3, or planner.samples=100,300 for an axis."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder or s3://bucket/prefix; the file's by default."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Most worker-hours, like 200h; above them nothing starts.")
    ] = None,
) -> None:
    """Run a grid, or several as one; what is in the store already is not run again."""
    from worldgrid import results, sweep
    from worldgrid.console import print_failures
    from worldgrid.exchange import check_imports
    from worldgrid.ingest import check_ingested
    from worldgrid.price import check_budget, price, read_budget
    from worldgrid.series import read_series
    from worldgrid.served import check_tracking, tracking_uri
    from worldgrid.store import Store

    most, series = budget and read_budget(budget), read_series(file, overrides or ())
    there = Store(store or series.grids[0].store)
    for grid in series.grids:
        check_imports(grid, there)
        check_ingested(grid, there)
    if most:
        check_budget(price(series.whole, there), most)
    there.prepare()
    if away := check_tracking(tracking_uri(there)):
        print(f"{away}; the grid runs without it", file=sys.stderr)  # noqa: T201
    for grid in series.grids:
        sweep.write_record(there, grid)
    ran = _play(series, there)
    failures = results.read_record(there, series.whole.name)["failures"]
    for grid in series.grids:
        own = {trial.key for trial in grid.trials}
        results.write_failures(there, grid.name, {key: failures[key] for key in failures if key in own})
        _tell(grid, there, ran)
    again = ["worldgrid", "run", str(file), *(overrides or ()), "--store", there.address]
    if ran:
        print_failures(series.whole, ran, shlex.join(again))
    raise typer.Exit(1 if sweep.open_trials(series.whole, there) else 0)


def _play(series: Series, there: Store) -> Snapshot | None:
    """Run what is missing of all grids, as one: they share their steps, the pool and one start of Ray."""
    from worldgrid import sweep
    from worldgrid.console import Board
    from worldgrid.served import tracking_uri
    from worldgrid.tracking import catch_up

    whole, uri = series.whole, tracking_uri(there)
    sweep.write_record(there, whole)
    trials = sweep.open_trials(whole, there)
    if not trials:
        return None
    try:
        with Board(whole, there, trials) as board:
            return sweep.run(whole, trials, there, uri, board.update)
    except KeyboardInterrupt:
        print("stopped; finished steps are kept, the same command goes on from here", file=sys.stderr)  # noqa: T201
        if behind := catch_up(there, whole.name, uri, stopped=True):
            print(behind, file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from None


def _tell(grid: Grid, there: Store, ran: Snapshot | None) -> None:
    """Write one grid's report, bring MLflow up to it, and print what came out."""
    from worldgrid.console import print_results
    from worldgrid.report import write
    from worldgrid.served import tracking_uri
    from worldgrid.tracking import catch_up

    page = write(there, grid.name)
    behind = catch_up(there, grid.name, tracking_uri(there))
    print_results(grid, there, page, ran)
    if behind:
        print(behind, file=sys.stderr)  # noqa: T201
