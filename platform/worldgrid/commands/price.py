"""worldgrid show --price: what a grid costs before it runs, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from worldgrid.price import Price
    from worldgrid.reference import Published


def print_price(
    found: Price, gpu_hour: float, console: Console | None = None, published: Sequence[Published] = ()
) -> None:
    """Print what each stage takes, the sum, the longest chain, what sharing saves, and what it cost others."""
    import rich.console
    from rich.filesize import decimal
    from rich.table import Table

    console = console or rich.console.Console()
    table = Table(
        "stage", "distinct", "in the store", "new", "unshared", "FLOPs", "worker-hours", "bytes", "hours from"
    )
    for one in found.stages:
        counts = (one.steps, one.steps - one.new, one.new, one.apart)
        hours = "?" if one.hours is None else f"{one.hours:,.2f}"
        table.add_row(one.stage, *map(str, counts), f"{one.flops:.1e}", hours, decimal(one.bytes), one.source)
    console.print(table)
    more = "more than " if found.unknown else ""
    lines = [
        f"{found.trials} trials, {found.cached} of them in the store; {found.episodes:,} episodes to play",
        f"{more}{found.hours:,.1f} worker-hours, {found.gpu_hours:,.1f} GPU-hours"
        + (f", {found.cost:,.2f} at {gpu_hour:g} a GPU-hour" if gpu_hour else ""),
        f"longest chain of steps: {found.longest:,.2f} h; no cluster is faster",
    ]
    if found.hours_apart:
        saved = 1 - found.hours / found.hours_apart
        apart = f"every trial by itself: {found.hours_apart:,.1f} worker-hours"
        lines.append(f"{apart}; sharing and the store save {saved:.1%}")
    if found.unknown:
        lines.append(f"nothing tells how long {', '.join(found.unknown)} takes here: no such step is in the store")
    lines += [
        f"elsewhere: {row.value:,.0f} {row.unit} for {row.model} ({row.source})"
        for row in published
        if row.quantity == "gpu_hours"
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
