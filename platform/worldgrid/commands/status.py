"""worldgrid status: how far a grid is, also while it runs and from another shell. It starts nothing."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from worldgrid.spec import JSON

if TYPE_CHECKING:
    from worldgrid.progress import Report
    from worldgrid.store import Store

SILENT_SECONDS = 30.0
"""A driver that said nothing for so long has stopped."""


def status(
    name: Annotated[str, typer.Argument(help="Name of a grid that ran or runs.")],
    store: Annotated[
        str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store, or s3://...")
    ] = "store",
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="The cluster it was submitted to: its job, and its store.")
    ] = None,
) -> None:
    """Trials and steps of a grid by state, rates, time left, failures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from worldgrid import progress
    from worldgrid.results import STOPPED, read_record
    from worldgrid.store import Store

    console = Console()
    there, name = (Store(store), name) if cluster is None else job_and_store(name, cluster)
    if there is None:
        return
    record = read_record(there, name)
    report = progress.read(there, name)
    states, seconds = step_states(record, there, report)
    console.print(Text(f"{name}: {headline(report)}"), soft_wrap=True)
    table = Table("stage", "done", "running", "waiting", "failed", "seconds each")
    for stage in dict.fromkeys(stage for stage, _ in states.values()):
        counts = Counter(state for other, state in states.values() if other == stage)
        took = seconds.get(stage, [])
        mean = f"{sum(took) / len(took):.1f}" if took else ""
        table.add_row(stage, *(str(counts[state]) for state in ("done", "running", "waiting", "failed")), mean)
    console.print(table)
    ends = {key for key, error in record["failures"].items() if error.startswith(STOPPED)}
    trials = Counter("stopped" if trial["key"] in ends else trial_state(trial, states) for trial in record["trials"])
    console.print(f"trials: {', '.join(f'{count} {state}' for state, count in trials.items())}", soft_wrap=True)
    for line in pace(report, states, seconds):
        console.print(line, soft_wrap=True)
    waiting = {trial["name"]: _keys(trial) for trial in record["trials"]}
    for failed in progress.failures(report.snapshot, waiting) if report else ():
        console.print(Text(f"failed: {failed.cause}", style="red"), soft_wrap=True)
        console.print(f"  {len(failed.trials)} trials need it; log: {failed.log or 'none'}", soft_wrap=True)


def job_and_store(name: str, cluster: str) -> tuple[Store | None, str]:
    """Print how the newest job stands; its store, where it is of use from here and the driver has begun, and grid."""
    from worldgrid.clusters import find
    from worldgrid.commands.submit import store_from_here
    from worldgrid.jobs import Jobs
    from worldgrid.results import grid_names

    where = find(cluster)
    run = Jobs(where).latest(name)
    took = f" for {clock((run.ended or time.time()) - run.began)}" if run.began else ""
    print(f"{run.id} on {cluster}: {run.state.lower()}{took}; {run.message}")  # noqa: T201
    store = store_from_here(where.store)
    return (store if store and run.grid in grid_names(store) else None), run.grid


def headline(report: Report | None) -> str:
    """Whether a grid runs, and since when."""
    if report is None:
        return "no driver of it said anything yet"
    silent = time.time() - report.said
    if report.ended:
        return f"ended after {clock(report.said - report.began)}, {clock(silent)} ago"
    if silent > SILENT_SECONDS:
        return f"stopped after {clock(report.said - report.began)}; its driver was last heard {clock(silent)} ago"
    return f"running for {clock(report.said - report.began)}"


def clock(seconds: float) -> str:
    """`1:02:03`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def step_states(
    record: JSON, store: Store, report: Report | None
) -> tuple[dict[str, tuple[str, str]], dict[str, list[float]]]:
    """Step key -> its stage and state; and stage -> the seconds of those that are done."""
    told = report.snapshot.steps if report else {}
    fresh = report is not None and not report.ended and time.time() - report.said <= SILENT_SECONDS
    states: dict[str, tuple[str, str]] = {}
    seconds: dict[str, list[float]] = {}
    for key in dict.fromkeys(key for trial in record["trials"] for key in _keys(trial)):
        stage = key.rpartition("-")[0]
        done, step = store.done(key), told.get(key)
        if done:
            seconds.setdefault(stage, []).append(done.seconds)
        state = "done" if done else step.state if step and (fresh or step.state == "failed") else "waiting"
        states[key] = stage, state
    return states, seconds


def trial_state(trial: JSON, states: dict[str, tuple[str, str]]) -> str:
    """A trial as its steps are."""
    found = {states[key][1] for key in _keys(trial)}
    if all(states[one["key"]][1] == "done" for one in trial["evaluations"]):
        return "finished"
    return next((state for state in ("failed", "running") if state in found), "waiting")


def pace(report: Report | None, states: dict[str, tuple[str, str]], seconds: dict[str, list[float]]) -> list[str]:
    """Episodes played, their rate, and how long the rest takes at the speed so far."""
    if report is None:
        return []
    elapsed, snapshot = max(report.said - report.began, 1e-9), report.snapshot
    played = sum(tally["episodes"] for tally in snapshot.tallies.values())
    lines = []
    if played:
        playing, workers = snapshot.workers
        total = sum(tally["total"] for tally in snapshot.tallies.values())
        rate = 60 * played / elapsed
        lines.append(f"episodes: {played} of {total}, {rate:.1f} a minute; {playing} of {workers} workers playing")
    mean = {stage: sum(took) / len(took) for stage, took in seconds.items()}
    worked = sum(step.seconds for step in snapshot.steps.values() if step.state == "done")
    left = [stage for stage, state in states.values() if state not in ("done", "failed")]
    if left and worked and not report.ended:
        known = elapsed * sum(mean.get(stage, 0.0) for stage in left) / worked
        lines.append(f"time left: {'' if all(stage in mean for stage in left) else 'more than '}{clock(known)}")
    return lines


def _keys(trial: JSON) -> set[str]:
    return {*trial["steps"].values(), *(one["key"] for one in trial["evaluations"])}
