"""Sweep: all trials of a grid on the cluster. Ray Tune gives each trial a light driver that asks memo for its steps."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from worldgrid import progress, results
from worldgrid.bucket import AwayError
from worldgrid.drive import Duty, drive_trial
from worldgrid.grid import Grid, Trial
from worldgrid.halving import legs, needed, stopped
from worldgrid.memo import Memo
from worldgrid.pool import Pool
from worldgrid.progress import Snapshot
from worldgrid.spec import ConfigError
from worldgrid.store import Store, write_whole
from worldgrid.tracking import Tracker

POLL_SECONDS = 2.0
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
"""What Tune would write into each trial's runtime environment, which Ray logs (2.60); nodes have keys of their own."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


Watch = Callable[[Snapshot], None]


def write_record(store: Store, grid: Grid) -> None:
    """Leave in the store all that reports and tracking need to know of the grid."""
    path = store.file("grids", f"{grid.name}.json")
    created = json.loads(path.read_text(encoding="utf-8"))["created"] if path.exists() else time.time()
    write_whole(path, json.dumps(grid.record() | {"created": created}, indent=1).encode())


def open_trials(grid: Grid, store: Store) -> list[Trial]:
    """Trials with an evaluation that is not in the store, unless a search stopped them."""
    out = stopped(grid, store)
    missing = [trial for trial in grid.trials if any(not store.done(one.step.key) for one in trial.evaluations)]
    return [trial for trial in missing if trial.key not in out]


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """The order in which trials start: first those whose training others wait for, the one most wait for in front."""
    sharing = Counter(trial.training.key for trial in trials)
    seen: Counter[str] = Counter()
    places = []
    for trial in trials:
        key = trial.training.key
        places.append((seen[key], -sharing[key]))
        seen[key] += 1
    return [trials[place] for place in sorted(range(len(trials)), key=lambda place: places[place])]


def run(grid: Grid, trials: Sequence[Trial], store: Store, uri: str, watch: Watch) -> Snapshot:
    """Run the trials to their end and return the last state; failed steps are in it, not raised."""
    import ray

    results.write_failures(store, grid.name, _ends(grid, store))
    start_ray()
    try:
        kept = {"num_cpus": 0, "max_restarts": -1}  # lost, each begins again from the store
        name = f"pool-{ray.get_runtime_context().get_job_id()}"  # memo, begun again, finds it by its name
        pool = ray.remote(Pool).options(**kept, max_concurrency=100_000, name=name).remote(store, grid.scale.evaluate)
        memo = ray.remote(Memo).options(**kept, max_concurrency=100_000).remote(store, grid.scale, name)
        tracker = ray.remote(Tracker).options(**kept).remote(store, grid.name, uri)
        with writing(store):
            return _follow(grid, trials, store, (memo, pool, tracker), watch)
    finally:
        ray.shutdown()


@contextmanager
def writing(store: Store) -> Iterator[None]:
    """Turn what a disk says that is full or was made read-only, or a server that is away, into a line for its user."""
    try:
        yield
    except AwayError as error:
        raise ConfigError(f"{error}; what is finished is kept, and the same command goes on from there") from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ConfigError(
            f"store {store.address}: cannot be written any more: {error.strerror}; what is finished is kept, and the "
            "same command goes on from there"
        ) from error


def start_ray() -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start one on this machine."""
    import ray

    address = os.environ.get("RAY_ADDRESS")
    shared: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "worldgrid"}
    if address:
        ray.init(address=address, **shared)
    else:
        os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "8")  # else it warns of our light actors
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this machine's nodes back
        ray.init(address="local", include_dashboard=False, **shared)


def _follow(grid: Grid, trials: Sequence[Trial], store: Store, actors: tuple[Any, Any, Any], watch: Watch) -> Snapshot:
    """Let Tune drive the trials in a thread, and watch from here until it ends.

    A tracking server that is away stops nothing: the next sync catches up, and so does the one after the run.
    """
    import ray
    from ray.exceptions import RayActorError

    memo, pool, tracker = actors
    ended: list[BaseException] = []

    def drive() -> None:
        try:
            _tune(grid, trials, store, memo)
        except BaseException as error:  # handed to the thread that watches
            ended.append(error)

    thread = threading.Thread(target=drive, name="tune", daemon=True)
    thread.start()
    snapshot, began, syncing = Snapshot(), time.time(), tracker.sync.remote()
    while True:
        running = thread.is_alive()
        with suppress(RayActorError):  # one of them is being restarted; what it said last holds
            steps, tallies, workers = ray.get([memo.progress.remote(), pool.tallies.remote(), pool.workers.remote()])
            snapshot = Snapshot(snapshot.steps | steps, snapshot.tallies | tallies, workers)
        watch(snapshot)
        with suppress(AwayError):  # what it says next holds
            progress.write(store, grid.name, snapshot, began, ended=not running)
        if not running:
            break
        if ray.wait([syncing], timeout=0)[0]:
            syncing = tracker.sync.remote()
        thread.join(POLL_SECONDS)
    if ended:
        raise ended[0]
    results.write_failures(store, grid.name, _ends(grid, store) | _failures(grid, trials, snapshot))
    return snapshot


def _ends(grid: Grid, store: Store) -> dict[str, str]:
    """Trial key -> where its search stopped it."""
    by = grid.search.by if grid.search else ""
    return {key: one.told(by) for key, one in stopped(grid, store).items()}


def _failures(grid: Grid, trials: Sequence[Trial], snapshot: Snapshot) -> dict[str, str]:
    """Trial key -> why it has no result."""
    errors = {key: step.error for key, step in snapshot.steps.items() if step.state == "failed"}
    rungs = grid.search.rungs if grid.search else ()
    found = {}
    for trial in trials:
        played = [step for until in (*rungs, None) for step in needed(trial, until, grid.search)]
        if causes := [errors[step.key] for step in (trial.training, *played) if step.key in errors]:
            found[trial.key] = causes[0]
    return found


def _tune(grid: Grid, trials: Sequence[Trial], store: Store, memo: Any) -> None:
    """Drive the trials to their end, rung by rung where they are those of a search."""
    wanted = {trial.key for trial in trials}
    for leg in legs(grid, store):
        going = [trial for trial in in_order(leg.trials) if trial.key in wanted]
        duties = {trial.key: Duty(needed(trial, leg.until, grid.search), trial.training, leg.until) for trial in going}
        if duties:
            _drive(grid, duties, store, memo)


def _drive(grid: Grid, duties: Mapping[str, Duty], store: Store, memo: Any) -> None:
    from ray import tune
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    ENV_VARS_TO_PROPAGATE.difference_update(_KEYS)
    place = {"memory": 1.0}  # Tune wants one; even a hundredth of a CPU keeps tasks of whole ones off small nodes
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(drive_trial, memo=memo, duties=duties), place),
        param_space={"trial": tune.grid_search(list(duties))},
        tune_config=tune.TuneConfig(max_concurrent_trials=grid.scale.trials, reuse_actors=True),
        run_config=tune.RunConfig(
            name=grid.name,
            storage_path=str(store.root / "tune"),
            failure_config=tune.FailureConfig(max_failures=grid.scale.retries),
            verbose=0,
        ),
    )
    tuner.fit()
