"""worldgrid stop: stop a submitted grid; what is finished is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from worldgrid.commands.submit import ClusterName


def stop(
    name: Annotated[str, typer.Argument(help="A grid's name, a submission or a job.")], cluster: ClusterName = None
) -> None:
    """Stop a job; submitting the same grid again goes on from what is in the store."""
    from worldgrid.clusters import find
    from worldgrid.jobs import Jobs

    jobs = Jobs(find(cluster))
    run = jobs.latest(name)
    if run.open:
        print(f"{run.id} is {jobs.stop(run.id).lower()}; what is finished is kept")  # noqa: T201
    else:
        print(f"{run.id} is {run.state.lower()} already")  # noqa: T201
