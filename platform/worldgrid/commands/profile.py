"""`worldgrid profile FILE`: where a plan's time goes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from worldgrid.profiling import Profile


def profile(
    file: Annotated[Path, typer.Argument(help="The grid file; the first trial of each planner is profiled.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings by path: mpc.compile=true.")] = None,
) -> None:
    """Where the time of one plan goes, with random weights: networks, planner, simulator; on a GPU if there is one."""
    import torch
    from rich.console import Console

    from worldgrid import profiling
    from worldgrid.grid import read_grid

    torch.set_num_threads(1)
    console = Console()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = {trial.experiment.planner: trial for trial in reversed(read_grid(file, overrides or ()).trials)}
    for trial in reversed(first.values()):
        found = profiling.profile(trial.experiment, device)
        console.print(table(trial.experiment.planner.kind, found))
        console.print(sums(found))


def table(planner: str, found: Profile) -> Table:
    """The parts of a plan, each with its share."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    whole = sum(found.seconds.values())
    shown = Table("one plan", "seconds", "share", box=SIMPLE_HEAD, title=f"{planner}, {found.episodes} episodes")
    for part, seconds in found.seconds.items():
        shown.add_row(part, f"{seconds:.3g}", f"{seconds / whole:.1%}")
    return shown


def sums(found: Profile) -> str:
    """A plan as a whole, in a sentence."""
    return (
        f"{found.calls_per_second:,.0f} model calls per second on {found.device} ({found.calls:,} in the plan, "
        f"{found.block[0]} x {found.block[1]} at once); rollouts take {found.flops / 1e9:,.3g} GFLOP, "
        f"{found.share:.0%} of the {found.matmul / 1e9:,.0f} GFLOP/s of a matrix product of their size"
    )
