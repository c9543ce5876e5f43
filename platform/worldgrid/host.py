"""Where something ran: machine, versions, commit. Written into every `done.json`, part of no key."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from worldgrid.spec import JSON

SPENT = "spent"
"""Where `done.json` has worker-seconds and GPU-seconds of the run that finished a step, where they are known."""
_PACKAGES = ("worldgrid", "torch", "ray", "mujoco", "numpy")


@cache
def fingerprint() -> JSON:
    """Machine, processor, Python, the packages that decide numbers, and the source's commit."""
    return {
        "machine": socket.gethostname(),
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "commit": commit(),
    }


def ran(seconds: float, workers: float = 1, gpus: float = 0.0) -> JSON:
    """The fingerprint with what a step took of it: `workers` for so many seconds, each with `gpus` GPUs to itself."""
    spent = seconds * workers
    return fingerprint() | {SPENT: {"worker_seconds": spent, "gpu_seconds": spent * gpus}}


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def commit() -> str:
    """The git commit of the source, with `+` when files were changed; empty outside a checkout."""
    git, here = shutil.which("git"), Path(__file__).parent
    if git is None:
        return ""

    def ask(*words: str) -> str:
        asked = [git, "-C", str(here), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    name = ask("rev-parse", "HEAD")
    return name + ("+" if name and ask("status", "--porcelain", "--untracked-files=no") else "")
