"""worldgrid submit: run a grid on a cluster, after everything that could be wrong was asked of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldgrid.spec import ConfigError

if TYPE_CHECKING:
    from worldgrid.grid import Grid
    from worldgrid.store import Store

ClusterName = Annotated[
    str | None, typer.Option("--cluster", help="A name of clusters.yaml, or local; $RAY_ADDRESS without.")
]


def submit(
    file: Annotated[Path, typer.Argument(help="The grid file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings by path, as for run.")] = None,
    cluster: ClusterName = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the grid name `kind: package.module:Class` from outside.")
    ] = False,
) -> None:
    """Send a grid to a cluster. The same grid again joins the job that runs, or goes on where the last one ended."""
    from worldgrid.checks import check
    from worldgrid.clusters import find
    from worldgrid.jobs import Jobs
    from worldgrid.parcel import pack

    where = find(cluster)
    parcel = pack(file, overrides or (), allow_code=allow_code)
    jobs = Jobs(where)
    earlier = jobs.of(parcel)
    option = f" --cluster {cluster}" if cluster else ""
    if earlier and earlier[0].open:
        changed = "" if earlier[0].content == parcel.content else "; with other source: `stop` it to send this one"
        print(f"{earlier[0].id} is {earlier[0].state.lower()} already{changed}")  # noqa: T201
    else:
        found = check(jobs, parcel)
        steps = Counter(step.stage for step in parcel.grid.steps())
        distinct = ", ".join(f"{count} {stage}" for stage, count in steps.items())
        size = sum(path.stat().st_size for path in parcel.files.values()) / 2**20
        print(f"{parcel.grid.name}: {len(parcel.grid.trials)} trials; steps: {distinct}")  # noqa: T201
        print(f"{where.address}: {found['nodes']} nodes; store {where.store}; sends {size:.1f} MiB")  # noqa: T201
        show_price(parcel.grid, where.store)
        if not yes:
            typer.confirm("submit?", abort=True)
        print(f"{jobs.submit(parcel, len(earlier))} is submitted")  # noqa: T201
    for command in ("status", "logs", "stop"):
        print(f"worldgrid {command} {parcel.grid.name}{option}")  # noqa: T201


def show_price(grid: Grid, address: str) -> None:
    """Print what is left to pay, where the cluster's store can be used from here too."""
    from worldgrid.commands.price import print_price
    from worldgrid.price import price

    if store := store_from_here(address):
        print_price(price(grid, store), 0.0)


def store_from_here(address: str) -> Store | None:
    """A cluster's store, or a line that says why it cannot be used from this machine."""
    from worldgrid.store import Store

    if not address.startswith("s3://") and not Path(address).is_dir():
        print(f"store {address}: not on this machine")  # noqa: T201
        return None
    store = Store(address)
    try:
        store.prepare()
    except ConfigError as error:
        print(f"from here: {error}")  # noqa: T201
        return None
    return store
