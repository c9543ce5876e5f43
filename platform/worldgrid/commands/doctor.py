"""worldgrid doctor: what works on this machine, and what mends the rest."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    store: Annotated[
        str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://...")
    ] = "store",
) -> None:
    """Try what experiments need, each in a process of its own; exit code 0 when all that the quickstart needs works."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from worldgrid.doctor import examine
    from worldgrid.store import Store

    console, findings = Console(), []
    colours = {"works": "green", "absent": "yellow", "fails": "red"}
    with console.status("trying") as status:
        for finding in examine(Store(store)):
            status.update(f"{finding.name}: {finding.state}")
            findings.append(finding)
    table = Table("", "state", "what it says", "what mends it")
    for finding in findings:
        mark = " *" if finding.needed else ""
        state = Text(finding.state, style=colours[finding.state])
        table.add_row(finding.name + mark, state, Text(finding.said), Text(finding.mend))
    console.print(table)
    broken = [finding.name for finding in findings if finding.needed and finding.state != "works"]
    console.print("* the quickstart needs it; " + (f"it lacks {', '.join(broken)}" if broken else "all of it works"))
    raise typer.Exit(1 if broken else 0)
