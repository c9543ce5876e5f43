"""The terminal: a grid before it runs, while it runs, and when it is done."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worldgrid import results
from worldgrid.curve import read_curve
from worldgrid.grid import Grid, Trial
from worldgrid.progress import Snapshot, failures
from worldgrid.series import Series
from worldgrid.sizes import room, step_bytes
from worldgrid.spec import JSON
from worldgrid.stats import wilson
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.tables import Row, make_rows
from worldgrid.wording import probability

STAGES = ("collect", "pretrain", "encode", "train", "tasks", "evaluate")
LISTED = 200
"""Most trials that are shown one by one."""


def show_grid(grid: Grid, store: Store, console: Console | None = None) -> None:
    """Trials, distinct steps, and what is in the store; starts nothing."""
    console = console or Console()
    if grid.question:
        console.print(Text(grid.question, style="italic"))
    if grid.search:
        console.print(grid.search.told(len(grid.trials)), soft_wrap=True)
    trials = Table("trial", *grid.axes, "train", "evaluate", title=f"{grid.name}: {len(grid.trials)} trials")
    for trial in grid.trials[:LISTED]:
        last = trial.evaluations[-1].step
        trials.add_row(trial.key, *trial.labels.values(), _known(store, trial.training), _known(store, last))
    console.print(trials)
    if len(grid.trials) > LISTED:
        console.print(f"and {len(grid.trials) - LISTED:,} more")
    show_steps(grid, store, console)


def show_steps(grid: Grid, store: Store, console: Console) -> None:
    """Distinct steps by stage, what is in the store, and what the others may write."""
    steps = Table("stage", "distinct steps", "in the store", "to run", "on disk", "to write, at most", title="steps")
    writes = 0
    for stage, members in _by_stage(grid).items():
        done = [step for step in members if store.done(step.key)]
        finished = set(done)
        fresh = sum(step_bytes(step, store) for step in members if step not in finished)
        held = sum(step_bytes(step, store) for step in done)
        counts = (len(members), len(done), len(members) - len(done))
        steps.add_row(stage, *map(str, counts), decimal(held), decimal(fresh))
        writes += fresh
    console.print(steps)
    if writes > room(store):
        warning = f"the disk of {store.root} has {decimal(room(store))} left; these steps may write {decimal(writes)}"
        console.print(Text(warning, style="red"), soft_wrap=True)


def show_series(series: Series, store: Store, console: Console | None = None) -> None:
    """Several grids, a line each, and their distinct steps; starts nothing."""
    console = console or Console()
    whole = series.whole
    table = Table(
        "grid", "trials", "trainings", "to train", "question", title=f"{series.name}: {len(whole.trials)} trials"
    )
    for grid in series.grids:
        trainings = {trial.training.key for trial in grid.trials}
        fresh = sum(store.done(key) is None for key in trainings)
        table.add_row(grid.name, str(len(grid.trials)), str(len(trainings)), str(fresh), Text(grid.question))
    console.print(table)
    show_steps(whole, store, console)


def _known(store: Store, step: Step) -> str:
    return f"{step.key.rpartition('-')[2]} {'in the store' if store.done(step.key) else 'new'}"


def _by_stage(grid: Grid) -> dict[str, list[Step]]:
    steps = grid.steps()
    present = {stage: [step for step in steps if step.stage == stage] for stage in STAGES}
    return {stage: members for stage, members in present.items() if members}


class Board:
    """The live picture of a running grid, and a line for every trial that ends."""

    def __init__(self, grid: Grid, store: Store, trials: Sequence[Trial], console: Console | None = None) -> None:
        self._grid = grid
        self._store = store
        self._open = list(trials)
        self._console = console or Console()
        self._stages = _by_stage(grid)
        self._finished = {step.key for step in grid.steps() if store.done(step.key)}
        self._began = time.monotonic()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Board:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, snapshot: Snapshot) -> None:
        """Draw a new state."""
        self._tell_steps(snapshot)
        self._tell_trials(snapshot)
        self._live.update(self._picture(snapshot), refresh=True)

    def _tell_steps(self, snapshot: Snapshot) -> None:
        for key, step in snapshot.steps.items():
            if step.state == "done" and key not in self._finished and step.stage != "evaluate":
                self._say(f"{key} done in {step.seconds:.0f} s")
            if step.state in ("done", "cached"):
                self._finished.add(key)

    def _tell_trials(self, snapshot: Snapshot) -> None:
        for trial in list(self._open):
            keys = [one.step.key for one in trial.evaluations]
            failed = [snapshot.steps[key].error for key in keys if key in snapshot.steps and snapshot.steps[key].error]
            if failed:
                self._say(f"failed: {trial.name}: {failed[0]}", "red")
            elif all(key in self._finished for key in keys):
                tallies = [snapshot.tallies[key] for key in keys if key in snapshot.tallies]
                self._say(f"{trial.name}: {_rate(tallies)}")
            else:
                continue
            self._open.remove(trial)

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(f"{self._clock()} {line}", style=style), soft_wrap=True)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes:2d}:{seconds:02d}"

    def _picture(self, snapshot: Snapshot) -> Group:
        table = Table("stage", "done", "running", "now", title=f"{self._grid.name} {self._clock()}")
        for stage, members in self._stages.items():
            running = [step.key for step in members if self._is_running(step.key, snapshot)]
            done = sum(step.key in self._finished for step in members)
            now = self._now(stage, running, snapshot)
            table.add_row(stage, f"{done}/{len(members)}", str(len(running)), now)
        return Group(table)

    @staticmethod
    def _is_running(key: str, snapshot: Snapshot) -> bool:
        return key in snapshot.steps and snapshot.steps[key].state == "running"

    def _now(self, stage: str, running: Sequence[str], snapshot: Snapshot) -> str:
        if stage == "evaluate":
            playing, workers = snapshot.workers
            tallies = [snapshot.tallies[key] for key in running if key in snapshot.tallies]
            return f"{_rate(tallies)}; {playing} of {workers} workers playing" if tallies else ""
        if stage in _PARTS:
            steps = [step for step in self._stages[stage] if step.key in running]
            return ", ".join(filter(None, (_shards(step, self._store.root / step.key) for step in steps)))
        return ", ".join(filter(None, (pace(results.curve_path(self._store, key)) for key in running)))


def _rate(tallies: Sequence[Mapping[str, int]]) -> str:
    """Successes of episodes played so far, with the interval of their rate."""
    played, won = (sum(tally[name] for tally in tallies) for name in ("episodes", "successes"))
    if not played:
        return "0 episodes"
    low, high = wilson(won, played)
    return f"{won}/{played} = {won / played:.3f} [{low:.3f}, {high:.3f}]"


_PARTS = {"collect": "shard-*.parquet", "encode": "latents-*.npy"}
"""What a shard of these stages leaves when it is whole."""


def _shards(step: Step, folder: Path) -> str:
    """`3 of 8 shards`; of encoded data from outside, whose number the recipe does not tell, `3 shards`."""
    collect, done = step.inputs.get("trajectories", step).config["collect"], len(list(folder.glob(_PARTS[step.stage])))
    of = f"of {-(-collect['episodes'] // collect['shard'])} " if "shard" in collect else ""
    return f"{done} {of}shards"


def pace(curve: Path) -> str:
    """`step 340, 61 steps/s, loss 0.0123` from the end of a training's numbers; empty before the second line."""
    lines: list[JSON] = [line for line in read_curve(curve)[0] if "loss" in line]
    if len(lines) < 2:
        return ""
    first, last = lines[-min(len(lines), 20)], lines[-1]
    elapsed = max(last["time"] - first["time"], 1e-6)
    return f"step {last['step']}, {(last['step'] - first['step']) / elapsed:.0f} steps/s, loss {last['loss']:.4g}"


def print_results(grid: Grid, store: Store, page: Path, ran: Snapshot | None, console: Console | None = None) -> None:
    """The final table, what was run and what was known already, failures, and where to look next."""
    console = console or Console()
    there = results.read_grid(store, grid.name)
    names = [axis.rpartition(".")[2] for axis in grid.axes]
    table = Table(*names, "success [95 %]", "against baseline", title=grid.name, box=SIMPLE_HEAD, pad_edge=False)
    for row in make_rows(there):
        table.add_row(*(row.trial.labels[axis] for axis in grid.axes), *_result(row))
    console.print(table)
    console.print(_account(grid, ran), soft_wrap=True)
    console.print(f"report: {page}", soft_wrap=True)
    console.print("curves, episodes and videos in the MLflow UI: worldgrid ui" + _store_option(store))


def print_failures(grid: Grid, ran: Snapshot, again: str, console: Console | None = None) -> None:
    """The steps that failed, each with its cause, its log and what waits for it; and the command that runs the rest."""
    console = console or Console()
    needs = {trial.name: {step.key for one in trial.evaluations for step in one.step.walk()} for trial in grid.trials}
    failed = failures(ran, needs)
    for one in failed:
        console.print(Text(f"failed: {one.cause}", style="red"), soft_wrap=True)
        more = f" and {len(one.trials) - 1} more" if len(one.trials) > 1 else ""
        needed = f"  needed by {one.trials[0]}{more} of {len(grid.trials)} trials; log: {one.log or 'none'}"
        console.print(Text(needed), soft_wrap=True)
    if failed:
        console.print(f"again, only what is missing: {again}", soft_wrap=True)


def _result(row: Row) -> tuple[Text, Text]:
    """Success with its Wilson interval, and the paired difference to the baseline; no markup in either."""
    if row.rate is None:
        return Text(row.trial.state), Text()
    rate = Text(f"{row.rate:.2f} [{row.interval.low:.2f}, {row.interval.high:.2f}]")
    if row.against is None:
        return rate, Text()
    return rate, Text(f"{row.against.effect.difference:+.2f} ({probability(row.against.p)})")


def _account(grid: Grid, ran: Snapshot | None) -> str:
    every = Counter(step.stage for step in grid.steps())
    fresh = Counter(step.stage for step in (ran.steps.values() if ran else ()) if step.state == "done")
    counts = ", ".join(f"{fresh[stage]} of {every[stage]} {stage}" for stage in STAGES if every[stage])
    return f"steps run: {counts}" if sum(fresh.values()) else "everything was in the store already; nothing was run"


def _store_option(store: Store) -> str:
    return "" if store.root == Path("store").absolute() else f" --store {json.dumps(store.address)}"
