"""Diagnoses: what is wrong with a trial, measured one thing at a time, each with its sentence and its mend.

A diagnosis is a function of a subject, the trial as it planned, to a finding. B episodes, H horizon, as everywhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from worldgrid.spec import ConfigError, suggest

if TYPE_CHECKING:
    from worldgrid.diagnoses.subject import Subject

Verdict = Literal["sound", "watch", "ill", "unknown"]
"""Nothing to mend; worth a look; the likely cause of failures; could not be measured here."""


@dataclass(frozen=True)
class Curves:
    """Lines over a common axis."""

    title: str
    along: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    """Label -> where along the axis, and how high."""
    height: str = ""
    logarithmic: bool = False


@dataclass(frozen=True)
class Maps:
    """Values over the same square of a plane, one map beside the other; a cross in the middle."""

    title: str
    maps: Mapping[str, NDArray[np.float64]]
    """Label -> `[n, n]`, row after row from below."""
    extent: float
    """From the middle to each side, in the unit of the axes."""
    axes: tuple[str, str]
    """Labels along and up."""


@dataclass(frozen=True)
class Strip:
    """Rows of frames, a column per model step."""

    title: str
    rows: Mapping[str, NDArray[np.uint8]]
    """Label -> `[T, S, S, 3]`; shorter rows end on the right."""


Picture = Curves | Maps | Strip


@dataclass(frozen=True)
class Finding:
    """What a diagnosis found."""

    title: str
    verdict: Verdict
    sentence: str
    """What was measured, and what it means."""
    mend: str = ""
    """What to try; empty where nothing is to be mended."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


Diagnosis = Callable[["Subject"], Finding]

DIAGNOSES: dict[str, str] = {
    "rollout": "worldgrid.diagnoses.rollout:diagnose",
    "actions": "worldgrid.diagnoses.actions:diagnose",
    "distance": "worldgrid.diagnoses.distance:diagnose",
    "planner": "worldgrid.diagnoses.planner:diagnose",
    "promise": "worldgrid.diagnoses.promise:diagnose",
    "replanning": "worldgrid.diagnoses.replanning:diagnose",
    "landscape": "worldgrid.diagnoses.landscape:diagnose",
    "gradients": "worldgrid.diagnoses.gradients:diagnose",
    "contacts": "worldgrid.diagnoses.contacts:diagnose",
}
"""In the order of the walk: the predictor, its space, the search in it, what comes of it."""


def diagnosis(name: str) -> Diagnosis:
    """The function of a diagnosis, imported now; raises ConfigError where there is none of the name."""
    if name not in DIAGNOSES:
        raise ConfigError(f"unknown diagnosis '{name}'{suggest(name, DIAGNOSES)}")
    module, _, function = DIAGNOSES[name].partition(":")
    return cast(Diagnosis, getattr(importlib.import_module(module), function))
