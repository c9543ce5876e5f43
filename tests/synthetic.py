"""A made-up 2 x 2 x 2 grid in the store's real formats: which choice is better is known, because it was drawn so."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldgrid.step import digest
from worldgrid.store import Done, Store

NAME = "made_up"
CREATED = 1_790_000_000.0
EPISODES, BATCH, STEPS, EPOCHS = 40, 16, 12, 2
AXES = {"conditioning": ["adaln", "feature"], "planner": ["cem", "gd"], "train.seed": ["0", "1"]}
RATES = {"cem": 0.9, "gd": 0.5}
"""Only the planner matters."""


def settings(labels: dict[str, str]) -> dict[str, Any]:
    """A few of the settings a trial has."""
    return {
        "env": {"kind": "point", "size": 64, "frameskip": 5, "threshold": 0.05},
        "predictor": {"kind": "transformer", "conditioning": labels["conditioning"], "depth": 2},
        "planner": {"kind": labels["planner"], "samples": 64},
        "train": {"epochs": EPOCHS, "lr": 5e-4, "seed": int(labels["train.seed"]), "proprio": False},
        "evaluate": {"episodes": EPISODES, "batch": BATCH, "seed": 1},
    }


def trial_record(labels: dict[str, str]) -> dict[str, Any]:
    """A trial as the grid's record holds it; trainings are shared by the planners."""
    train = digest([labels["conditioning"], labels["train.seed"]])
    played = digest(labels)
    return {
        "key": f"trial-{digest(['trial', labels])}",
        "name": ",".join(f"{axis}={label}" for axis, label in labels.items()),
        "labels": labels,
        "settings": settings(labels),
        "steps": {
            "collect": "collect-000000000000",
            "pretrain": "pretrain-111111111111",
            "tasks": "tasks-222222222222",
            "train": f"train-{train}",
        },
        "evaluations": [{"epoch": EPOCHS, "key": f"evaluate-{played}"}],
    }


@dataclass(frozen=True)
class MadeUp:
    """A store in which a grid comes along as a test tells it."""

    store: Store

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The trials of the record."""
        return [trial_record(dict(zip(AXES, labels, strict=True))) for labels in itertools.product(*AXES.values())]

    def ask(self, **changes: Any) -> None:
        """Write the grid's record."""
        record = {
            "name": NAME,
            "question": "Which planner reaches more goals?",
            "source": "# Which planner reaches more goals?\nbase:\n  env: {kind: point}  # <b>not bold</b>\n",
            "overrides": ["train.lr=5e-4"],
            "created": CREATED,
            "baseline": {"conditioning": "adaln", "planner": "cem"},
            "axes": AXES,
            "trials": self.trials,
        }
        path = self.store.root / "grids" / f"{NAME}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record | changes))

    def learn(self, key: str, first: int, last: int) -> None:
        """Append the lines of steps `first` to `last - 1` to a training's curve."""
        with (self.store.workspace(key) / "metrics.jsonl").open("a") as file:
            for step in range(first, last):
                line = {
                    "step": 10 * step,
                    "epoch": 1 + step // 10,
                    "time": CREATED + step,
                    "loss": 1 / (1 + step),
                    "lr": 1e-3,
                }
                file.write(json.dumps(line) + "\n")
            if last % 10 == 0:
                validation = {f"validation/rollout_error_{horizon}": 0.01 * horizon for horizon in range(1, 7)}
                file.write(
                    json.dumps({"step": 10 * last, "epoch": last // 10, "time": CREATED + last} | validation) + "\n"
                )

    def done(self, key: str, finished: float, metrics: dict[str, float]) -> None:
        """Commit a step."""
        spent = {"worker_seconds": 90.0, "gpu_seconds": 0.0}
        host = {"machine": "made-up", "packages": {"torch": "2.15.0"}, "commit": "abc", "spent": spent}
        done = Done(key, {"stage": key.partition("-")[0]}, metrics, 7.5, CREATED + finished, host)
        (self.store.workspace(key) / "done.json").write_text(json.dumps(done.__dict__))

    def play(self, trial: dict[str, Any], first: int, last: int) -> None:
        """Leave the chunk of episodes `first` to `last - 1`."""
        folder = self.store.workspace(trial["evaluations"][0]["key"]) / "chunks"
        folder.mkdir(exist_ok=True)
        pq.write_table(_episodes(trial).slice(first, last - first), folder / f"{first:06d}-{last:06d}.parquet")

    def finish(self, trial: dict[str, Any]) -> None:
        """Put all of a trial into the store."""
        train, key = trial["steps"]["train"], trial["evaluations"][0]["key"]
        if not self.store.done(train):
            self.learn(train, 0, 10 * EPOCHS)
            self.done(train, 100, {"loss": 0.05})
        rows = _episodes(trial)
        pq.write_table(rows, self.store.workspace(key) / "episodes.parquet")
        success = rows["success"].to_numpy()
        metrics = {"episodes": len(success), "successes": int(success.sum()), "success_rate": float(success.mean())}
        self.done(key, 200 + self.trials.index(trial), metrics)

    def finish_all(self) -> None:
        """Put all of the grid into the store."""
        self.ask()
        for key in ("collect-000000000000", "pretrain-111111111111"):
            self.done(key, 1, {})
        self.done("tasks-222222222222", 1, {"episodes": EPISODES, "solved_at_start": 0.0, "random_success": 0.1})
        for trial in self.trials:
            self.finish(trial)


def make(root: Path) -> MadeUp:
    """An empty store."""
    return MadeUp(Store(root))


def _episodes(trial: dict[str, Any]) -> pa.Table:
    """Episodes that go straight to their goals, or past them."""
    rng = np.random.default_rng([ord(letter) for letter in trial["name"]])
    starts, goals = np.random.default_rng(0).uniform(0.2, 0.8, (2, EPISODES, 2))
    success = rng.random(EPISODES) < RATES[trial["labels"]["planner"]]
    ends = np.where(success[:, None], goals, 1 - goals)
    states = starts[:, None] + np.linspace(0, 1, STEPS + 1)[:, None] * (ends - starts)[:, None]
    return pa.table(
        {
            "episode": pa.array(range(EPISODES), pa.int64()),
            "seed": pa.array(range(1000, 1000 + EPISODES), pa.int64()),
            "success": success,
            "ever_success": success,
            "solved_at_start": np.zeros(EPISODES, bool),
            "distance": np.linalg.norm(ends - goals, axis=1),
            "start_distance": np.linalg.norm(starts - goals, axis=1),
            "plans": np.full(EPISODES, 3),
            "calls": np.full(EPISODES, 960),
            "states": list(states.reshape(EPISODES, -1)),
            "actions": list(np.zeros((EPISODES, STEPS * 2), np.float32)),
            "goal": list(goals),
        }
    )
