"""worldgrid gc: what no named grid needs, with sizes; removed on `--yes`."""

from __future__ import annotations

from typing import Annotated

import typer

StoreAt = Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://...")]


def gc(
    store: StoreAt = "store",
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without, they are only listed.")] = False,
) -> None:
    """List the steps that no grid of the store needs any more, and remove them with --yes."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from worldgrid.garbage import surplus
    from worldgrid.results import grid_names
    from worldgrid.store import Store

    there, console = Store(store), Console()
    found, names = surplus(there), grid_names(there)
    if not found:
        console.print(f"every step in {there.address} is needed by one of its {len(names)} grids", soft_wrap=True)
        return
    table = Table("step", "bytes", "state")
    for one in found:
        table.add_row(one.key, decimal(one.bytes), "finished" if one.finished else "unfinished")
    console.print(table)
    total = decimal(sum(one.bytes for one in found))
    if not yes:
        known = ", ".join(names) or "none"
        console.print(f"{len(found)} steps, {total}, that no grid ({known}) needs; --yes removes them", soft_wrap=True)
        return
    kept = []
    for one in found:
        claim = there.claim(one.key)
        if claim is None:
            kept.append(one.key)
            continue
        with claim:
            there.remove(one.key)
    console.print(f"removed {len(found) - len(kept)} steps of {total} in all", soft_wrap=True)
    if kept:
        console.print(f"kept, because they are running: {', '.join(kept)}", soft_wrap=True)
