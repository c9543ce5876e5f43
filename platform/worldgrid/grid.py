"""A grid file -> trials. Pure: it reads no store and starts nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from worldgrid.axes import Point, check_path, label_of, points_of
from worldgrid.experiment import Evaluation, Experiment
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError, parse, read_text, read_yaml, suggest
from worldgrid.step import Step, canonical, digest

_TOP = ("name", "store", "base", "axes", "exclude", "baseline", "scale")


@dataclass(frozen=True)
class Trial:
    """One cell of the grid."""

    labels: Mapping[str, str]
    """Axis -> label."""
    experiment: Experiment

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The steps whose episodes are the trial's result."""
        return self.experiment.evaluations()

    @property
    def training(self) -> Step:
        """The step that trains the trial's predictor."""
        return self.evaluations[-1].step.inputs["train"]

    @cached_property
    def key(self) -> str:
        """`trial-0123456789ab`: equal exactly when the results are."""
        return f"trial-{digest([evaluation.step.key for evaluation in self.evaluations])}"

    @property
    def name(self) -> str:
        """`axis=label,...`, for people."""
        return ",".join(f"{axis}={label}" for axis, label in self.labels.items()) or "single"

    def record(self) -> JSON:
        """The trial as `grids/<name>.json` holds it."""
        before = {step.stage: step.key for step in self.evaluations[-1].step.walk() if step.stage != "evaluate"}
        return {
            "key": self.key,
            "name": self.name,
            "labels": dict(self.labels),
            "settings": self.experiment.settings(),
            "steps": before,
            "evaluations": [{"epoch": one.epoch, "key": one.step.key} for one in self.evaluations],
        }


@dataclass(frozen=True)
class Grid:
    """A question as trials."""

    name: str
    question: str
    """The first comment of the file."""
    source: str
    """The file's text."""
    overrides: Sequence[str]
    axes: Mapping[str, Sequence[Point]]
    trials: Sequence[Trial]
    baseline: Mapping[str, str]
    """Axis -> label; axes left out take each trial's own label."""
    scale: Scale
    store: str = "store"
    """Where its steps lie unless the command line says otherwise: a folder, or `s3://bucket/prefix`."""

    def steps(self) -> list[Step]:
        """Every distinct step, inputs first."""
        seen: dict[str, Step] = {}
        for trial in self.trials:
            for evaluation in trial.evaluations:
                for step in evaluation.step.walk():
                    seen.setdefault(step.key, step)
        return list(seen.values())

    def record(self) -> JSON:
        """The grid as `grids/<name>.json` holds it: all that reports and tracking need beside the store."""
        return {
            "name": self.name,
            "question": self.question,
            "source": self.source,
            "overrides": list(self.overrides),
            "baseline": dict(self.baseline),
            "axes": {axis: [point.label for point in points] for axis, points in self.axes.items()},
            "trials": [trial.record() for trial in self.trials],
        }


def read_grid(path: Path, overrides: Sequence[str] = (), *, without_weights: bool = False) -> Grid:
    """The grid of a file, with `path=value` overrides from the command line; raises ConfigError in one line.

    `without_weights` is for looking at grids whose frozen weights are not on this machine.
    """
    return make_grid(read_text(path), path.stem, str(path), overrides, without_weights=without_weights)


def make_grid(
    text: str, stem: str, where: str, overrides: Sequence[str] = (), *, without_weights: bool = False
) -> Grid:
    """The grid of a YAML text; `stem` names it unless it names itself."""
    content = read_yaml(text, where)
    if not isinstance(content, Mapping) or not isinstance(content.get("base"), Mapping):
        raise ConfigError(f"{where}: a grid file has a section 'base' with the settings of a trial, and maybe 'axes'")
    for key in content:
        if key not in _TOP:
            raise ConfigError(f"{where}: unknown section '{key}'{suggest(str(key), _TOP)}")
    base, scaling = deepcopy(dict(content["base"])), deepcopy(content.get("scale") or {})
    axes = {name: points_of(name, values) for name, values in _section(content, "axes", where).items()}
    late: dict[str, Any] = {}
    for override in overrides:
        _override(override, scaling, axes, late)
    name = content.get("name", stem)
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise ConfigError(f"name: given {name!r}; a text without '/' fits")
    rules = _rules(content.get("exclude") or [], axes)
    trials = _trials(base, axes, late, rules, without_weights=without_weights)
    scale = parse(Scale, scaling, "scale")
    for trial in trials:
        if trial.experiment.train.batch % scale.train.workers:
            raise ConfigError(
                f"train.batch: given {trial.experiment.train.batch}; a multiple of scale.train.workers "
                f"({scale.train.workers}) fits"
            )
    return Grid(
        name=name,
        question=_question(text),
        source=text,
        overrides=tuple(overrides),
        axes=axes,
        trials=trials,
        baseline=_baseline(_section(content, "baseline", where), axes, trials),
        scale=scale,
        store=_store(content.get("store", "store")),
    )


def _store(given: object) -> str:
    if not isinstance(given, str) or not given:
        raise ConfigError(f"store: given {given!r}; a folder or s3://bucket/prefix fits")
    return given


def _section(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    section = content.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}: {name}: given {section!r}; a section (name: value) fits")
    return section


def _rules(excluded: object, axes: Mapping[str, Sequence[Point]]) -> list[Mapping[str, Any]]:
    if not isinstance(excluded, list) or not all(isinstance(rule, Mapping) and rule for rule in excluded):
        raise ConfigError(f"exclude: given {excluded!r}; a list of {{setting: value}} fits")
    for name in (name for rule in excluded for name in rule if name not in axes):
        check_path(name, "exclude")
    return excluded


def _question(text: str) -> str:
    """The first block of comment lines, less a line that only names the file."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = [line.lstrip("# ").strip() for line in lines]
    return " ".join(word for word in words if word and not word.endswith((".yaml", ".yml")))


def _override(text: str, scaling: dict[str, Any], axes: dict[str, list[Point]], late: dict[str, Any]) -> None:
    """Apply one `path=value`: several values make an axis, one value holds for every trial."""
    path, equals, given = text.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"override '{text}': a setting and a value fit, like train.lr=1e-3 or planner.samples=100,300"
        )
    whole = read_yaml(given, f"override '{text}'")
    values = read_yaml(f"[{given}]", f"override '{text}'")
    if path.partition(".")[0] == "scale":
        _set({"scale": scaling}, path, whole)
        return
    check_path(path, f"override '{text}'")
    several = isinstance(values, list) and len(values) > 1
    if path in axes or several:
        axes[path] = points_of(path, values if several else [whole])
    else:
        late[path] = whole


def _trials(
    base: JSON,
    axes: Mapping[str, Sequence[Point]],
    late: Mapping[str, Any],
    excluded: Sequence[Mapping[str, Any]],
    *,
    without_weights: bool,
) -> list[Trial]:
    trials: list[Trial] = []
    names: dict[str, str] = {}
    for points in itertools.product(*axes.values()):
        labels = {axis: point.label for axis, point in zip(axes, points, strict=True)}
        settings = deepcopy(base)
        for path, value in [item for point in points for item in point.overrides.items()] + list(late.items()):
            _set(settings, path, deepcopy(value))
        if any(_matches(rule, labels, settings) for rule in excluded):
            continue
        trial = _trial(labels, settings, without_weights=without_weights)
        if trial.key in names:
            raise ConfigError(f"two trials are the same: '{names[trial.key]}' and '{trial.name}'; drop one of them")
        names[trial.key] = trial.name
        trials.append(trial)
    if not trials:
        raise ConfigError("exclude: leaves no trial")
    return trials


def _trial(labels: Mapping[str, str], settings: JSON, *, without_weights: bool) -> Trial:
    try:
        return Trial(labels, Experiment.parse(settings, without_weights=without_weights))
    except ConfigError as error:
        place = ",".join(f"{axis}={label}" for axis, label in labels.items())
        raise ConfigError(f"{error} (trial {place})" if place else str(error)) from None


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


def _matches(rule: Mapping[str, Any], labels: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    """Whether a trial has all of a rule: axes by label, settings by value."""
    return all(
        labels[name] == label_of(wanted) if name in labels else _get(settings, name) == wanted
        for name, wanted in rule.items()
    )


def _baseline(rule: Mapping[str, Any], axes: Mapping[str, Sequence[Point]], trials: Sequence[Trial]) -> dict[str, str]:
    """The labels that all trials of the baseline share; without a rule there is no baseline."""
    if not rule:
        return {}
    for name in rule:
        if name not in axes:
            check_path(name, "baseline")
    chosen = [trial for trial in trials if _matches(rule, trial.labels, trial.experiment.settings())]
    if not chosen:
        raise ConfigError(f"baseline: no trial has {canonical(dict(rule))}")
    shared = {axis: {trial.labels[axis] for trial in chosen} for axis in axes}
    return {axis: labels.pop() for axis, labels in shared.items() if len(labels) == 1 and len(axes[axis]) > 1}
