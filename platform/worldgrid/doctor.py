"""Doctor: what works on this machine, and what mends the rest. Every probe is a process, so that none takes us down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from worldgrid.envs import ENVS
from worldgrid.probes import ABSENT
from worldgrid.served import tracking_uri
from worldgrid.sizes import room
from worldgrid.spec import ConfigError
from worldgrid.store import Store

SECONDS = 180.0
"""How long a probe may take before it counts as hung."""
ROOM = 2_000_000_000
"""Bytes that the quickstart and its environment need, generously."""
PRESETS = (
    "dinov2_vits14",
    "dinov2_vitb14_reg",
    "dinov2_vitl14_reg",
    "dinov3_vits16",
    "dinov3_vitl16",
    "vjepa2_vit_large",
)
"""The study's frozen encoders."""

State = Literal["works", "absent", "fails"]


class Finding(NamedTuple):
    """What is known of one thing."""

    name: str
    state: State
    said: str
    """One line: what answered, or why it fails."""
    mend: str
    """What to do; empty where it works."""
    needed: bool
    """Whether the quickstart needs it."""


@dataclass(frozen=True)
class Probe:
    """One thing to try in a process of its own."""

    name: str
    words: tuple[str, ...]
    """Of `python -m worldgrid.probes`."""
    mend: str
    needed: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, seconds: float = SECONDS) -> Finding:
        """Try it; a process that crashes or hangs is a finding like any other."""
        command = [sys.executable, "-m", "worldgrid.probes", *self.words]
        try:
            ended = subprocess.run(  # noqa: S603  (our own module)
                command, env=os.environ | self.environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Finding(self.name, "fails", f"no answer in {seconds:.0f} s", self.mend, self.needed)
        if ended.returncode in (0, ABSENT):
            state: State = "works" if ended.returncode == 0 else "absent"
            return Finding(self.name, state, _last(ended.stdout), "" if state == "works" else self.mend, self.needed)
        died = f"died of {signal.Signals(-ended.returncode).name}" if ended.returncode < 0 else _last(ended.stderr)
        return Finding(self.name, "fails", died, self.mend, self.needed)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "no word"


_MESA = "apt-get install libegl1 libgl1"
_ENV = f"install the package that it names, or for drawing {_MESA}"
_OWN = {"robosuite": "make robosuite, in the checkout"}
_WEIGHTS = "fetched when first used; without a network put a file into a folder and name it in encoder.checkpoint"


def probes(store: Store) -> list[Probe]:
    """Everything there is to try."""
    gl = {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "1"}
    return [
        Probe("Ray", ("cluster",), "free memory and processes (ulimit -u); /tmp/ray has its logs", needed=True),
        Probe("MLflow", ("mlflow", tracking_uri(store)), "start the server of MLFLOW_TRACKING_URI, or unset it", True),
        Probe("GPUs", ("gpus",), "none is needed; with one, install its driver"),
        Probe("weights", ("weights", *PRESETS), _WEIGHTS, environment={"HF_HUB_OFFLINE": "1"}),
        Probe("EGL, GPU", ("draw", "gpu"), "its driver brings it, in a container as `graphics`", environment=gl),
        Probe("EGL, software", ("draw", "software"), _MESA, environment=gl | {"LIBGL_ALWAYS_SOFTWARE": "1"}),
        Probe("OSMesa", ("draw", "software"), "apt-get install libosmesa6", environment={"MUJOCO_GL": "osmesa"}),
        *(
            Probe(f"env {kind}", ("env", kind), _OWN.get(kind, _ENV), needed=kind == "wall")
            for kind in sorted(ENVS.members)
        ),
    ]


def examine(store: Store) -> Iterator[Finding]:
    """Every finding as it comes, in the order of the table."""
    yield _writable(store)
    yield _roomy(store)
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as threads:
        yield from threads.map(Probe.run, probes(store))


def _writable(store: Store) -> Finding:
    """Whether a store can be made there; makes none where there is none."""
    try:
        if store.root.exists() or store.address.startswith("s3:"):
            store.prepare()
        above = next(path for path in (store.root, *store.root.parents) if path.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise ConfigError(f"{above} cannot be written")
    except ConfigError as error:
        return Finding("store", "fails", str(error), "name another with --store or WORLDGRID_STORE", needed=True)
    return Finding("store", "works", store.address, "", needed=True)


def _roomy(store: Store) -> Finding:
    free = room(store)
    said, enough = f"{free / 1e9:.1f} GB free for {store.root}", free >= ROOM
    mend = f"{ROOM / 1e9:g} GB fit the quickstart; `worldgrid gc` lists what may go"
    return Finding("disk", "works" if enough else "fails", said, "" if enough else mend, needed=True)
