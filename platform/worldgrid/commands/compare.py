"""`worldgrid compare A B`: two trials or two grids, in the terminal, on the start/goal pairs they share."""

from __future__ import annotations

from typing import Annotated

import typer


def compare(
    first: Annotated[str, typer.Argument(help="A trial's key (or its beginning), or a grid's name.")],
    second: Annotated[str, typer.Argument(help="What to compare it with: a trial with a trial, a grid with a grid.")],
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Which of two trials or grids reaches more goals, with the paired test, and what differs in their settings."""
    from worldgrid.contrast import print_grids, print_trials
    from worldgrid.results import grid_names, read_grid
    from worldgrid.store import Store
    from worldgrid.versus import find_trial

    there = Store(store)
    if {first, second} <= set(grid_names(there)):
        print_grids(read_grid(there, first), read_grid(there, second))
    else:
        print_trials(find_trial(there, first), find_trial(there, second))
