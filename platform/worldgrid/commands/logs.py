"""worldgrid logs: what a submitted grid's driver printed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from worldgrid.commands.submit import ClusterName


def logs(
    name: Annotated[str, typer.Argument(help="A grid's name, a submission or a job.")],
    cluster: ClusterName = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job ends, or Ctrl-C.")] = False,
) -> None:
    """Print what a job's driver printed; of several jobs of a grid the newest."""
    from worldgrid.clusters import find
    from worldgrid.jobs import Jobs

    jobs = Jobs(find(cluster))
    run = jobs.latest(name)
    if follow and run.open:
        jobs.follow(run.id, lambda lines: print(lines, end="", flush=True))  # noqa: T201
    else:
        sys.stdout.write(jobs.logs(run.id))
