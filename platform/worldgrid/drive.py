"""A trial's light driver under Ray Tune: it asks memo for the trial's steps and waits. It imports nothing heavy."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune

from worldgrid.spec import JSON
from worldgrid.step import Step


def drive_trial(config: JSON, memo: Any, steps: dict[str, list[Step]]) -> None:
    """Ask for every evaluation of the trial that `config` names, and report the pooled success rate."""
    results = ray.get([memo.obtain.remote(step) for step in steps[config["trial"]]])
    episodes = sum(metrics["episodes"] for metrics in results)
    tune.report({"success_rate": sum(metrics["successes"] for metrics in results) / episodes})
