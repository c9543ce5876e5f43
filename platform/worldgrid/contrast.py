"""Two trials or two grids in the terminal, side by side."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worldgrid.answers import Question, Rate, compare
from worldgrid.results import Grid, Trial
from worldgrid.versus import compare_grids, differing
from worldgrid.wording import percent, probability, span

_NOTHING_SHARED = "not compared: they share no start/goal pairs, or one of them has not finished"


def print_trials(first: Trial, second: Trial, console: Console | None = None) -> None:
    """Two trials of the store: rates with intervals, the paired test, what differs in their settings."""
    console = console or Console()
    (found,) = compare([Question(first.name, second.name, [(first, second)])])
    for trial in (first, second):
        rate = Rate.of([trial])
        said = (
            f"{percent(rate.rate)} {span(rate.interval)} of {rate.episodes} episodes" if rate.episodes else trial.state
        )
        console.print(Text(f"{trial.key}  {trial.name}: {said}"), soft_wrap=True)
    console.print(Text(found.sentence if found else _NOTHING_SHARED), soft_wrap=True)
    if found:
        console.print(Text(f"won : lost = {found.paired.wins} : {found.paired.losses}"))
    table = Table("setting", first.key, second.key, box=SIMPLE_HEAD, pad_edge=False)
    for path, values in differing(first.settings, second.settings).items():
        table.add_row(Text(path), *map(Text, values))
    console.print(table if table.rows else "the settings are the same")


def print_grids(first: Grid, second: Grid, console: Console | None = None) -> None:
    """Two grids of the store: their matched trials, each by itself and all together."""
    console = console or Console()
    whole, each = compare_grids(first, second)
    axes = [axis for axis in first.axes if axis in second.axes]
    names = (axis.rpartition(".")[2] for axis in axes)
    table = Table(*names, first.name, second.name, "points", "p", "", box=SIMPLE_HEAD, pad_edge=False)
    for trial, one in each:
        rates = (f"{100 * rate:.1f}" for rate in (one.paired.first, one.paired.second))
        difference = f"{100 * one.effect.difference:+.1f} {span(one.effect.interval, '%+.1f')}"
        p = probability(one.p).removeprefix("p ").removeprefix("= ")
        table.add_row(*map(Text, (*(trial.labels[axis] for axis in axes), *rates, difference, p, one.verdict)))
    console.print(table)
    console.print(Text(whole.sentence if whole else _NOTHING_SHARED), soft_wrap=True)
