"""A trial's light driver under Ray Tune: it asks memo for the trial's steps and waits. It imports nothing heavy."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError

from worldgrid.progress import StepError
from worldgrid.spec import JSON
from worldgrid.step import Step

RESTARTS = 20
"""Times that memo may be lost while one trial waits."""
RESTART_SECONDS = 3.0
"""Between asking memo again while it is restarted."""


def drive_trial(config: JSON, memo: Any, steps: dict[str, list[Step]]) -> None:
    """Ask for every evaluation of the trial that `config` names, and for the end of its training, which evaluations of
    its checkpoints do not wait for; report the pooled success rate.

    A trial whose step failed ends without one: memo keeps the cause, and Tune tries again only where the trial's own
    process was lost.
    """
    try:
        evaluations = steps[config["trial"]]
        results = _obtain(memo, [*evaluations, evaluations[-1].inputs["train"]])[:-1]
    except StepError:
        return
    episodes = sum(metrics["episodes"] for metrics in results)
    tune.report({"success_rate": sum(metrics["successes"] for metrics in results) / episodes})


def _obtain(memo: Any, steps: list[Step]) -> list[JSON]:
    """The metrics of some steps; memo is asked again when its process was lost, and finds in the store what is done."""
    for _ in range(RESTARTS):
        try:
            metrics: list[JSON] = ray.get([memo.obtain.remote(step) for step in steps])
        except RayActorError:
            time.sleep(RESTART_SECONDS)
        else:
            return metrics
    raise RuntimeError(f"memo was lost {RESTARTS} times")
