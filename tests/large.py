"""A made-up grid of thousands of trials in the store's real formats, to see what size does."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldgrid.step import digest
from worldgrid.store import Store

from .synthetic import MadeUp, settings

NAME, EPISODES, BEST = "large", 96, 0.3
CHOICES = {name: [str(label) for label in range(10)] for name in ("train.lr", "predictor.depth", "planner.samples")}
"""A thousand choices; the last label of an axis is the best."""


def make_large(root: Path, seeds: int) -> Store:
    """A store with the finished trials of a thousand choices."""
    made = MadeUp(Store(root))
    axes = CHOICES | {"train.seed": [str(seed) for seed in range(seeds)]}
    trials = [_record(dict(zip(axes, labels, strict=True))) for labels in itertools.product(*axes.values())]
    for key in ("collect-000000000000", "tasks-222222222222"):
        made.done(key, 1, {"solved_at_start": 0.0, "random_success": 0.02})
    for trial in trials:
        _finish(made, trial)
    made.ask(name=NAME, trials=trials, axes=axes, overrides=[], baseline=dict.fromkeys(CHOICES, "0"))
    (made.store.root / "grids" / "made_up.json").rename(made.store.root / "grids" / f"{NAME}.json")
    return made.store


def _record(labels: dict[str, str]) -> dict[str, object]:
    trained = {name: label for name, label in labels.items() if name != "planner.samples"}
    chosen = settings({"conditioning": "adaln", "planner": "cem", "train.seed": labels["train.seed"]})
    chosen["evaluate"]["episodes"] = EPISODES
    steps = {"collect": "collect-000000000000", "tasks": "tasks-222222222222", "train": f"train-{digest(trained)}"}
    return {
        "key": f"trial-{digest(labels)}",
        "name": ",".join(f"{axis}={label}" for axis, label in labels.items()),
        "labels": labels,
        "settings": chosen,
        "steps": steps,
        "evaluations": [{"epoch": 2, "key": f"evaluate-{digest(labels)}"}],
    }


def _finish(made: MadeUp, trial: dict[str, object]) -> None:
    labels, steps = trial["labels"], trial["steps"]
    assert isinstance(labels, dict)
    assert isinstance(steps, dict)
    if not made.store.done(steps["train"]):
        made.learn(steps["train"], 0, 100)
        made.done(steps["train"], 100, {"loss": 0.05, "validation/rollout_error_6": 0.06})
    rng = np.random.default_rng([ord(letter) for letter in str(trial["name"])])
    success = rng.random(EPISODES) < BEST + sum(int(labels[axis]) for axis in CHOICES) / 60
    key = f"evaluate-{digest(labels)}"
    pq.write_table(_episodes(success), made.store.workspace(key) / "episodes.parquet")
    made.done(key, 200, {"episodes": EPISODES, "successes": int(success.sum()), "success_rate": float(success.mean())})


def _episodes(success: np.ndarray) -> pa.Table:
    n = len(success)
    rows = {
        "episode": pa.array(range(n), pa.int64()),
        "seed": pa.array(range(1000, 1000 + n), pa.int64()),
        **dict.fromkeys(("success", "ever_success"), pa.array(success)),
        "solved_at_start": np.zeros(n, bool),
        **dict.fromkeys(("distance", "start_distance"), np.where(success, 0.01, 0.4)),
        "plans": np.full(n, 3),
        "calls": np.full(n, 960),
        **{name: [[1.0, 0.5, 0.2]] * n for name in ("first_costs", "last_costs")},
        "states": [np.linspace(0.2, 0.8, 26).tolist()] * n,
        "actions": [[0.0] * 24] * n,
        "goal": [[0.8, 0.8]] * n,
    }
    return pa.table(rows)
