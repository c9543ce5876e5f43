"""worldgrid cluster start | stop: several Ray nodes on this machine, to try a cluster out without having one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

cluster = typer.Typer(help="A cluster of several Ray nodes on this machine.", no_args_is_help=True)


@cluster.command()
def start(
    nodes: Annotated[int, typer.Option(min=2, help="A head without CPUs, one node to train, others to play.")] = 3,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of each node but the head; its share of the machine's by default.")
    ] = None,
    services: Annotated[bool, typer.Option("--services", help="An MLflow server beside it.")] = False,
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="A folder, or s3://...")] = "store",
) -> None:
    """Start it: on loopback, with a token; `--cluster local` is its name then."""
    from worldgrid import nodes as local

    share = cpus or max(1, (os.cpu_count() or 1) // (nodes - 1))
    made = local.start(nodes, share, store, services=services)
    print(f"{nodes} nodes at {made.address}; store {made.store}")  # noqa: T201
    if made.tracking:
        print(f"MLflow at {made.tracking}")  # noqa: T201
    print("worldgrid submit FILE --cluster local")  # noqa: T201


@cluster.command()
def stop() -> None:
    """End exactly what `start` started; the store stays."""
    from worldgrid import nodes as local

    print(f"ended {local.stop()} processes")  # noqa: T201
