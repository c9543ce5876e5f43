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
from worldgrid.layers import read_sheet
from worldgrid.rules import Rules, matches, put, read_rules, settings_of
from worldgrid.scale import Scale
from worldgrid.search import AXIS, Search, check_rungs, read_search
from worldgrid.spec import JSON, ConfigError, parse, read_text, read_yaml
from worldgrid.step import Step, canonical, digest


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
    """The file's text, after that of the files it extends."""
    overrides: Sequence[str]
    axes: Mapping[str, Sequence[Point]]
    trials: Sequence[Trial]
    baseline: Mapping[str, str]
    """Axis -> label; axes left out take each trial's own label."""
    scale: Scale
    search: Search | None = None
    """What drew the values of its axis `search`."""
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
            "trials": [trial.record() | {"rungs": self._rungs(trial)} for trial in self.trials],
        }

    def _rungs(self, trial: Trial) -> list[JSON]:
        """What is played to say which trials go on."""
        played = self.search.rungs if self.search and self.search.by == "success_rate" else ()
        return [{"epoch": epoch, "key": trial.experiment.evaluation(epoch).step.key} for epoch in played]


def read_grid(path: Path, overrides: Sequence[str] = (), *, without_weights: bool = False) -> Grid:
    """The grid of a file, with `path=value` overrides from the command line; raises ConfigError in one line.

    `without_weights` is for looking at grids whose frozen weights are not on this machine.
    """
    return make_grid(read_text(path), path.stem, str(path), overrides, without_weights=without_weights)


def make_grid(
    text: str, stem: str, where: str, overrides: Sequence[str] = (), *, without_weights: bool = False
) -> Grid:
    """The grid of a YAML text; `stem` names it unless it names itself, and what it extends lies beside `where`."""
    sheet = read_sheet(text, where)
    content = sheet.varied(_chosen_variant(overrides))
    base, scaling = settings_of(content["base"]), settings_of(content.get("scale", {}))
    axes = {name: points_of(name, values) for name, values in content.get("axes", {}).items()}
    late: dict[str, Any] = {}
    searching = deepcopy(dict(content.get("search", {})))
    for override in overrides:
        if override.partition("=")[0] != "variant":
            _override(override, {"scale": scaling, "search": searching}, axes, late)
    search = read_search(searching, axes) if searching else None
    if search:
        axes = {AXIS: search.points()} | axes
    name = content.get("name", stem)
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise ConfigError(f"name: given {name!r}; a text without '/' fits")
    rules = read_rules(content, axes)
    trials = _trials(base, axes, rules, late, without_weights=without_weights)
    scale = parse(Scale, scaling, "scale")
    for trial in trials:
        if trial.experiment.train.batch < scale.train.workers[1]:
            raise ConfigError(
                f"train.batch: given {trial.experiment.train.batch}; at least scale.train.workers "
                f"({scale.train.workers[1]}) fits: a clip for each"
            )
    if search:
        check_rungs(search, [trial.experiment for trial in trials])
    return Grid(
        name=name,
        question=sheet.question,
        source=sheet.text,
        overrides=tuple(overrides),
        axes=axes,
        trials=trials,
        baseline=_baseline(content.get("baseline", {}), axes, trials),
        scale=scale,
        search=search,
        store=_store(content.get("store", "store")),
    )


def _chosen_variant(overrides: Sequence[str]) -> str | None:
    """What the last `variant=NAME` of the command line names."""
    named = [value for path, _, value in (override.partition("=") for override in overrides) if path == "variant"]
    return named[-1] if named else None


def _store(given: object) -> str:
    if not isinstance(given, str) or not given:
        raise ConfigError(f"store: given {given!r}; a folder or s3://bucket/prefix fits")
    return given


def _override(text: str, sections: dict[str, JSON], axes: dict[str, list[Point]], late: dict[str, Any]) -> None:
    """Apply one `path=value`: several values make an axis, one value holds for every trial."""
    path, equals, given = text.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"override '{text}': a setting and a value fit, like train.lr=1e-3 or planner.samples=100,300"
        )
    whole = read_yaml(given, f"override '{text}'")
    values = read_yaml(f"[{given}]", f"override '{text}'")
    if path.partition(".")[0] in sections:
        put(sections, {path: whole})
        return
    several = isinstance(values, list) and len(values) > 1
    if labelled := _labelled(axes.get(path, ()), values):
        axes[path] = labelled
        return
    check_path(path, f"override '{text}'")
    if path in axes or several:
        axes[path] = points_of(path, values if several else [whole])
    else:
        late[path] = whole


def _labelled(points: Sequence[Point], values: Sequence[Any]) -> list[Point]:
    """The values of an axis that are called so; none unless every one is."""
    named = {point.label: point for point in points}
    labels = [label_of(value) for value in values]
    return [named[label] for label in labels] if set(labels) <= named.keys() else []


def _trials(
    base: JSON, axes: Mapping[str, Sequence[Point]], rules: Rules, late: Mapping[str, Any], *, without_weights: bool
) -> list[Trial]:
    trials: list[Trial] = []
    names: dict[str, str] = {}
    for points in itertools.product(*axes.values()):
        labels = {axis: point.label for axis, point in zip(axes, points, strict=True)}
        settings = deepcopy(base)
        for point in points:
            put(settings, point.overrides)
        for which, values in rules.adjust:
            if matches(which, labels, settings):
                put(settings, values)
        put(settings, late)
        if any(matches(rule, labels, settings) for rule in rules.exclude):
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


def _baseline(rule: Mapping[str, Any], axes: Mapping[str, Sequence[Point]], trials: Sequence[Trial]) -> dict[str, str]:
    """The labels that all trials of the baseline share; without a rule there is no baseline."""
    if not rule:
        return {}
    for name in rule:
        if name not in axes:
            check_path(name, "baseline")
    chosen = [trial for trial in trials if matches(rule, trial.labels, trial.experiment.settings())]
    if not chosen:
        raise ConfigError(f"baseline: no trial has {canonical(dict(rule))}")
    shared = {axis: {trial.labels[axis] for trial in chosen} for axis in axes}
    return {axis: labels.pop() for axis, labels in shared.items() if len(labels) == 1 and len(axes[axis]) > 1}
