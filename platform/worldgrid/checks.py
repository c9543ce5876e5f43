"""Checks before a grid is sent: what the cluster says of itself against what the grid asks for. One line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version

from worldgrid.jobs import Jobs
from worldgrid.parcel import Parcel
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError
from worldgrid.survey import MARK

SECONDS = 300.0
"""For Ray to bring the files there, start a driver and ask every node."""
PYTHON = (3, 11)
"""The oldest Python that fits (`requires-python` of pyproject.toml)."""


def check(jobs: Jobs, parcel: Parcel) -> JSON:
    """Ask the cluster and compare; its answer, or ConfigError in one line. Nothing of the grid has run then."""
    words = [jobs.cluster.store, *([jobs.cluster.tracking] if jobs.cluster.tracking else [])]
    printed = jobs.ask(parcel, "worldgrid.survey", words, SECONDS)
    lines = [line.removeprefix(MARK) for line in printed.splitlines() if line.startswith(MARK)]
    if not lines:
        raise ConfigError(f"cluster {jobs.cluster.address}: its survey said nothing within {SECONDS:g} s")
    found: JSON = json.loads(lines[-1])
    compare(found, parcel.grid.scale, source=parcel.source)
    return found


def compare(found: JSON, scale: Scale, *, source: bool) -> None:
    """Raises ConfigError for the first thing of a cluster that does not fit; `source` goes along with the grid."""
    if tuple(int(part) for part in found["python"].split(".")[:2]) < PYTHON:
        raise ConfigError(f"the cluster runs Python {found['python']}; {'.'.join(map(str, PYTHON))} or newer fits")
    here = version("worldgrid")
    if not source and found["worldgrid"] != here:
        raise ConfigError(f"the cluster has worldgrid {found['worldgrid'] or 'not'}; {here} fits, as installed here")
    if found["trouble"]:
        raise ConfigError(f"from the cluster: {found['trouble']}")
    for what, needed in needs(scale).items():
        for name, amount in needed.items():
            held = found["capacity"].get(name, 0.0)
            if amount > held:
                raise ConfigError(f"{what}: asks for {amount:g} {name}; the cluster has {held:g} at most")


def needs(scale: Scale) -> dict[str, Mapping[str, float]]:
    """Section -> the least that it needs at once of each resource."""
    train, encode, play = scale.train, scale.encode, scale.evaluate
    alone = {"CPU": train.cpus, "GPU": train.gpus} | dict(train.resources)
    return {
        "scale": {"CPU": scale.cpus},
        "scale.train": {name: train.workers[0] * amount for name, amount in alone.items()},
        "scale.encode": {"CPU": encode.cpus, "GPU": encode.gpus},
        "scale.evaluate": {"CPU": play.cpus, "GPU": play.gpus} | dict(play.resources),
    }
