"""Which trials of a search go on, as the store says it."""

import json
from pathlib import Path
from typing import Any

import yaml

from worldgrid.checkpoints import checkpoint_name
from worldgrid.grid import Grid, Trial, make_grid
from worldgrid.halving import legs, needed, stopped
from worldgrid.store import Store, write_whole
from worldgrid.sweep import open_trials

from .worlds import SMALL

SPACES = {"train.lr": {"loguniform": [1e-4, 1e-2]}}


def grid(axes: dict[str, Any] | None = None, **search: Any) -> Grid:
    base = SMALL | {"train": SMALL["train"] | {"epochs": 8}}
    section = {"trials": 6, "spaces": SPACES, "rungs": [1, 3], "factor": 2} | search
    text = yaml.safe_dump({"base": base, "search": section, "axes": axes or {}}, sort_keys=False)
    return make_grid(text, "made", "made.yaml")


def learn(store: Store, trial: Trial, epoch: int, error: float) -> None:
    """Leave what a training leaves that has got to an epoch."""
    folder = store.workspace(trial.training.key)
    path = folder / "metrics.jsonl"
    before = path.read_text() if path.exists() else ""
    errors = {"validation/rollout_error_1": 0.0, "validation/rollout_error_6": error}
    write_whole(path, (before + json.dumps({"step": epoch, "epoch": epoch} | errors) + "\n").encode())
    write_whole(folder / checkpoint_name(epoch), b"")


def names(trials: Any) -> list[str]:
    return [trial.name for trial in trials]


def test_after_every_rung_the_best_go_on(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid()
    run = legs(made, store)
    first = next(run)
    assert (names(first.trials), first.until) == (names(made.trials), 1)
    for rank, trial in enumerate(made.trials):
        learn(store, trial, 1, 1.0 / (rank + 1))
    second = next(run)
    assert (names(second.trials), second.until) == (names(made.trials[3:]), 3)
    for rank, trial in enumerate(second.trials):
        learn(store, trial, 3, rank)
    last = next(run)
    assert (names(last.trials), last.until) == (names(made.trials[3:5]), None)
    assert next(run, None) is None


def test_trials_that_were_stopped_are_not_open_any_more(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid()
    for rank, trial in enumerate(made.trials):
        learn(store, trial, 1, rank)
    assert names(open_trials(made, store)) == names(made.trials[:3])
    assert {stop.epoch for stop in stopped(made, store).values()} == {1}
    assert stopped(made, store)[made.trials[3].key].told("rollout_error") == (
        "stopped after epoch 1: rollout_error 3 was not among the best"
    )


def test_nobody_is_stopped_before_all_have_got_there(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid()
    for rank, trial in enumerate(made.trials[:-1]):
        learn(store, trial, 1, rank)
    assert stopped(made, store) == {}
    assert len(open_trials(made, store)) == 6


def test_who_failed_does_not_go_on_and_keeps_nobody_back(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid()
    run = legs(made, store)
    next(run)
    for rank, trial in enumerate(made.trials[1:]):
        learn(store, trial, 1, rank)
    assert names(next(run).trials) == names(made.trials[1:4])


def test_trials_compete_with_those_that_differ_by_what_was_drawn_alone(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid({"train.seed": [0, 1]}, trials=2)
    run = legs(made, store)
    next(run)
    for trial in made.trials:
        learn(store, trial, 1, int(trial.labels["train.seed"]) + 0.1 * made.trials.index(trial))
    assert [trial.labels["train.seed"] for trial in next(run).trials] == ["0", "1"]


def test_success_rates_are_of_the_rungs_own_checkpoint(tmp_path: Path) -> None:
    store, made = Store(tmp_path), grid(by="success_rate", trials=2)
    for rank, trial in enumerate(made.trials):
        (step,) = needed(trial, 1, made.search)
        assert step.config["epoch"] == 1
        store.commit(step, {"episodes": 8, "successes": rank}, 1.0, {})
    assert stopped(made, store).keys() == {made.trials[0].key}
    assert {one["key"] for trial in made.record()["trials"] for one in trial["rungs"]} >= {step.key}


def test_a_grid_that_searches_nothing_runs_in_one_go(tmp_path: Path) -> None:
    made = make_grid(yaml.safe_dump({"base": SMALL}), "made", "made.yaml")
    assert [(leg.until, len(leg.trials)) for leg in legs(made, Store(tmp_path))] == [(None, 1)]
    assert [step.key for step in needed(made.trials[0], None, None)] == [made.trials[0].evaluations[0].step.key]
