"""What training takes of its machine, as MLflow names it: `system.jsonl` beside the curve, written by rank 0."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil

from worldgrid.curve import Curve

SYSTEM = "system.jsonl"
SECONDS = 5.0
"""Least time between two lines: what is rare costs training nothing."""


class Vitals:
    """Notes the load of the machine and of this process, at most every `SECONDS`."""

    def __init__(self, folder: Path, done: int) -> None:
        """Go on after step `done` of the file that may lie in a step's folder."""
        self._curve = Curve(folder / SYSTEM, done)
        self._process = psutil.Process()
        self._process.cpu_percent()  # both measure since the call before
        psutil.cpu_percent()
        self._last, self._done = time.monotonic(), done

    def write(self, step: int) -> None:
        """Note what is going on after `step` steps, unless a note is fresh."""
        now = time.monotonic()
        if now - self._last >= SECONDS:
            pace = (step - self._done) / (now - self._last)
            self._last, self._done = now, step
            self._curve.write(step, {"system/steps_per_second": pace} | self._read())

    def _read(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": memory.percent,
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/process_cpu_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
            **_gpu_memory(),
        }


def _gpu_memory() -> dict[str, float]:
    """Memory in use on this process's GPUs; nothing where torch is not loaded or has none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    found = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found[f"system/gpu_{index}_memory_usage_percentage"] = 100 * (total - free) / total
        found[f"system/gpu_{index}_memory_usage_megabytes"] = (total - free) / 1e6
    return found
