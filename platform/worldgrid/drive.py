"""A trial's light driver under Ray Tune: it asks memo for the trial's steps and waits. It imports nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


class Duty(NamedTuple):
    """What a trial asks memo for."""

    evaluations: Sequence[Step]
    training: Step
    """Evaluations of its checkpoints do not wait for its end, so it is asked for too."""
    until: int | None = None
    """The epoch at which the training ends for now, before anything is evaluated; None: its last."""


def drive_trial(config: JSON, memo: Any, duties: Mapping[str, Duty]) -> None:
    """Ask for all that the trial needs which `config` names; report the pooled success rate.

    A trial whose step failed ends without one: memo keeps the cause, and Tune tries again only where the trial's own
    process was lost.
    """
    try:
        results = _obtain(memo, duties[config["trial"]])
    except StepError:
        return
    if results:
        episodes = sum(metrics["episodes"] for metrics in results)
        tune.report({"success_rate": sum(metrics["successes"] for metrics in results) / episodes})


def _obtain(memo: Any, duty: Duty) -> list[JSON]:
    """The metrics of the evaluations; memo is asked again when it was lost, and finds in the store what is done."""
    for _ in range(RESTARTS):
        try:
            if duty.until:
                ray.get(memo.train_until.remote(duty.training, duty.until))
            asked = [memo.obtain.remote(step) for step in duty.evaluations]
            metrics: list[JSON] = ray.get([*asked, *([] if duty.until else [memo.obtain.remote(duty.training)])])
        except RayActorError:
            time.sleep(RESTART_SECONDS)
        else:
            return metrics[: len(asked)]
    raise RuntimeError(f"memo was lost {RESTARTS} times")
