"""Rules: settings by dotted path, and which trials of a grid are adjusted or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from worldgrid.axes import Point, check_path, label_of
from worldgrid.spec import JSON, ConfigError


class Rules(NamedTuple):
    """What holds for some of the trials, or for all."""

    exclude: Sequence[Mapping[str, Any]]
    adjust: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
    """Which trials, and the settings they get on top of those of their axes."""


def read_rules(content: Mapping[str, Any], axes: Mapping[str, Sequence[Point]]) -> Rules:
    """The rules of a grid's sections `exclude` and `adjust`; raises ConfigError in one line."""
    return Rules(_exclusions(content.get("exclude", []), axes), _adjustments(content.get("adjust", []), axes))


def _exclusions(excluded: Sequence[object], axes: Mapping[str, Sequence[Point]]) -> list[Mapping[str, Any]]:
    found = [rule for rule in excluded if isinstance(rule, Mapping) and rule]
    if len(found) != len(excluded):
        raise ConfigError(f"exclude: given {excluded!r}; a list of {{setting: value}} fits")
    for rule in found:
        _check_names(rule, axes, "exclude")
    return found


def _adjustments(
    given: Sequence[object], axes: Mapping[str, Sequence[Point]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """`{for: {axis or setting: value}, set: {setting: value}}`; without `for`, for every trial."""
    found = []
    for rule in given:
        parts = dict(rule) if isinstance(rule, Mapping) else {}
        which, values = parts.pop("for", {}), parts.pop("set", None)
        if parts or not isinstance(which, Mapping) or not isinstance(values, Mapping):
            raise ConfigError(f"adjust: given {rule!r}; {{for: {{axis: label}}, set: {{setting: value}}}} fits")
        _check_names(which, axes, "adjust")
        for path in values:
            check_path(path, "adjust")
        found.append((which, values))
    return found


def _check_names(rule: Mapping[str, Any], axes: Mapping[str, Sequence[Point]], where: str) -> None:
    for name in rule:
        if name not in axes:
            check_path(name, where)


def settings_of(paths: Mapping[str, Any]) -> JSON:
    """Dotted path -> value, as sections."""
    settings: JSON = {}
    put(settings, paths)
    return settings


def put(settings: JSON, paths: Mapping[str, Any]) -> None:
    """Write dotted path -> value into sections; a value replaces what the path names."""
    for path, value in paths.items():
        _set(settings, path, deepcopy(value))


def _set(settings: dict[str, Any], path: str, value: Any) -> None:
    *inside, last = path.split(".")
    for name in inside:
        below = settings.setdefault(name, {})
        if not isinstance(below, dict):
            raise ConfigError(f"'{path}': '{name}' holds {below!r}; it has no settings inside")
        settings = below
    settings[last] = value


_MISSING = object()


def _get(settings: Any, path: str) -> Any:
    for name in path.split("."):
        settings = settings.get(name, _MISSING) if isinstance(settings, Mapping) else _MISSING
    return settings


def matches(rule: Mapping[str, Any], labels: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    """Whether a trial has all of a rule: axes by label (or one of several), settings by value."""
    return all(
        labels[name] in map(label_of, wanted if isinstance(wanted, list) else [wanted])
        if name in labels
        else _get(settings, name) == wanted
        for name, wanted in rule.items()
    )
