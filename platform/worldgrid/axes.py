"""Axes: what a grid varies. Each value of an axis has a label and the settings it makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldgrid.experiment import SECTIONS
from worldgrid.spec import ConfigError, suggest


@dataclass(frozen=True)
class Point:
    """One value of an axis: what it is called and which settings it makes."""

    label: str
    overrides: Mapping[str, Any]
    """Dotted path -> value."""


def points_of(axis: str, values: object) -> list[Point]:
    """The values of one axis: a list replaces what the path names; a mapping gives each label its overrides."""
    if not isinstance(values, list | Mapping) or not values:
        raise ConfigError(f"axes.{axis}: given {values!r}; a list of values, or {{label: overrides}}, not empty, fits")
    if isinstance(values, list):
        check_path(axis, f"axes.{axis}")
        return [Point(label, {axis: value}) for label, value in zip(_labels(axis, values), values, strict=True)]
    points = []
    for label, overrides in values.items():
        if not isinstance(overrides, Mapping):
            raise ConfigError(f"axes.{axis}.{label}: given {overrides!r}; settings ({{train.lr: 1e-3}}) fit")
        for path in overrides:
            check_path(path, f"axes.{axis}.{label}")
        points.append(Point(str(label), dict(overrides)))
    return points


def check_path(path: object, where: str) -> None:
    """Refuse a dotted path whose first part is no section of a trial."""
    section = str(path).partition(".")[0]
    if section not in SECTIONS:
        raise ConfigError(f"{where}: '{path}' names no section of a trial{suggest(section, SECTIONS)}")


def _labels(axis: str, values: Sequence[Any]) -> list[str]:
    """Short names that tell an axis's values apart."""
    kinds = [value["kind"] if isinstance(value, Mapping) and "kind" in value else None for value in values]
    if None not in kinds and len(set(kinds)) == len(kinds):
        labels = [str(kind) for kind in kinds]
    else:
        labels = [label_of(value, values) for value in values]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"axes.{axis}: '{label}' stands twice")
    return labels


def label_of(value: Any, values: Sequence[Any] = ()) -> str:
    """A value as people read it; of a section, its kind and what differs among `values`."""
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else json.dumps(value)
    differing = {
        name: item
        for name, item in value.items()
        if name != "kind" and any(other.get(name) != item for other in values if isinstance(other, Mapping))
    }
    inside = ",".join(f"{name}={label_of(item)}" for name, item in differing.items())
    return f"{value.get('kind', '')}({inside})" if inside else str(value.get("kind", "default"))
