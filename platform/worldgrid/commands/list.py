"""worldgrid list: the grids that were submitted to a cluster."""

from __future__ import annotations

from worldgrid.commands.submit import ClusterName


def list_(cluster: ClusterName = None) -> None:
    """Jobs of a cluster, the newest first: state, who submitted it, when, how long."""
    import time
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from worldgrid.clusters import find
    from worldgrid.commands.status import clock
    from worldgrid.jobs import FORGETS, Jobs

    where = find(cluster)
    runs = Jobs(where).every()
    if not runs:
        print(f"{where.address} has no jobs; {FORGETS}")  # noqa: T201
        return
    table = Table("job", "grid", "state", "by", "began", "took")
    for run in runs:
        began = f"{datetime.fromtimestamp(run.began):%Y-%m-%d %H:%M}" if run.began else ""
        took = clock((run.ended or time.time()) - run.began) if run.began else ""
        table.add_row(run.id, run.grid, run.state.lower(), run.by, began, took)
    Console().print(table)
