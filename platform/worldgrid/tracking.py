"""Tracking: the store -> MLflow. The only writer; it reads folders, keeps a cursor, and can always start over.

Experiment = the grid's name; parent run = one submission of the grid; child run = one trial, found again by its tags.
Writing a second time changes nothing, and a replay into an empty server gives the same runs. Errors of the tracking
server are raised to the caller and leave the cursor where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from worldgrid import entries
from worldgrid.answers import answer, compare_axes, make_choices
from worldgrid.curve import read_curve
from worldgrid.lineage import Models, datasets, roles
from worldgrid.reproduce import fingerprint, grid_command
from worldgrid.results import (
    Grid,
    Trial,
    curve_path,
    make_grid,
    read_record,
    read_trial,
    report_folder,
    video_paths,
)
from worldgrid.served import SERVED, artifacts_uri, make_parent, tracking_uri
from worldgrid.spec import JSON
from worldgrid.step import digest
from worldgrid.store import Store, file_digest
from worldgrid.tables import choices_to_csv, make_rows, to_csv, to_markdown
from worldgrid.vitals import SYSTEM

if TYPE_CHECKING:
    from mlflow.entities import Run

METRICS, PARAMS, LETTERS = 1000, 100, 8000
"""The most metrics and params in one request, and letters in a tag, that the server takes (`utils/validation.py`)."""
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


@dataclass(frozen=True)
class _Cursor:
    """How far one run is written."""

    run: str
    status: str = "RUNNING"
    content: str = ""
    """Digest of what a settled run says; empty while it may still grow."""
    state: str = ""
    curves: Mapping[str, int] = field(default_factory=dict)
    """Stage -> bytes of its curve."""
    episodes: Mapping[str, int] = field(default_factory=dict)
    """Evaluation key -> episodes in the running success rate."""
    results: frozenset[str] = frozenset()
    """Keys of the evaluations whose results are written."""


class Tracker:
    """Writes one grid of a store into one tracking server; knows nothing that these two do not hold."""

    def __init__(self, store: Store, name: str, uri: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        # Its own back-off would wait for minutes; the next pass asks again anyway.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        from mlflow.tracking import MlflowClient

        self._store, self._name = store, name
        uri = uri or tracking_uri(store)
        make_parent(uri)
        self._artifacts = None if uri.startswith(SERVED) else f"{artifacts_uri(store)}/{name}"
        self._client = MlflowClient(tracking_uri=uri)
        self._settled: dict[str, Trial] = {}
        self._submission = ""
        self._parent = _Cursor("")
        self._children: dict[str, _Cursor] = {}
        self._models: Models | None = None

    def sync(self) -> None:
        """Write everything the store has and the server has not. Cheap when there is nothing new."""
        record = read_record(self._store, self._name)
        grid = make_grid(record, [self._read(trial, record["failures"]) for trial in record["trials"]])
        self._open(grid)
        for trial in grid.trials:
            self._children[trial.key] = self._write_trial(grid, trial, self._children[trial.key])
        self._parent = self._write_parent(grid, self._parent)

    def close(self) -> None:
        """A last pass; runs that have not come to their end are marked as stopped until the grid goes on."""
        self.sync()
        for cursor in [*self._children.values(), self._parent]:
            if cursor.status == "RUNNING":
                self._client.set_terminated(cursor.run, "KILLED")
        self._submission = ""

    def _read(self, trial: JSON, failures: Mapping[str, str]) -> Trial:
        """A trial of the record; a finished one never changes and is read once."""
        found = self._settled.get(trial["key"]) or read_trial(self._store, trial, failures)
        if found.finished:
            self._settled[found.key] = found
        return found

    def _open(self, grid: Grid) -> None:
        """Find the runs of this submission by their tags, and make those that are missing."""
        submission = digest([[trial.key, dict(trial.labels)] for trial in grid.trials])
        if submission == self._submission:
            return
        experiment = self._experiment()
        self._models = Models(self._client, experiment)
        there = {run.data.tags.get("worldgrid.trial", ""): run for run in self._runs(experiment, submission)}
        start = round(1000 * grid.created)
        tags = {"worldgrid.grid": grid.name, "worldgrid.submission": submission}

        def run(key: str, name: str, tags: Mapping[str, str]) -> Run:
            found = there.get(key)
            return found or self._client.create_run(experiment, start_time=start, tags=dict(tags), run_name=name)

        self._parent = _cursor(run("", grid.name, tags))
        tags["mlflow.parentRunId"] = self._parent.run
        for trial in grid.trials:
            child = run(trial.key, entries.run_name(trial), tags | entries.identity(trial))
            self._children[trial.key] = _cursor(child)
            self._describe(child, trial)
        self._submission = submission

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is None:
            return self._client.create_experiment(self._name, artifact_location=self._artifacts)
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _runs(self, experiment: str, submission: str) -> Iterator[Run]:
        token: str | None = None
        wanted = f"tags.`worldgrid.submission` = '{submission}'"
        while True:
            page = self._client.search_runs([experiment], wanted, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _describe(self, run: Run, trial: Trial) -> None:
        """The settings, as a file and as params; params come last and say that all is there."""
        missing = {name: value for name, value in entries.params(trial).items() if name not in run.data.params}
        if missing:
            self._client.log_dict(run.info.run_id, trial.settings, "settings.json")
            self._log_params(run.info.run_id, missing)

    def _write_trial(self, grid: Grid, trial: Trial, before: _Cursor) -> _Cursor:
        """Write what is new in a trial; says how far it is written then."""
        videos = video_paths(self._store, self._name, trial) if trial is grid.showcase else []
        status = _STATUS.get(trial.state, "RUNNING")
        content = entries.content(trial, [video.name for video in videos]) if status != "RUNNING" else ""
        if content and (content, status) == (before.content, before.status):
            return before
        news = [one for one in trial.evaluations if one.done and one.key not in before.results]
        points, curves = self._read_curves(trial, before.curves)
        points += [*entries.of_results(news), *entries.of_pool(trial), *entries.of_compute(trial)]
        points += entries.of_progress(grid, trial, before.episodes)
        self._log_points(before.run, points, self._link(grid, trial, before.run) if news else {})
        for one in news:
            self._client.log_text(before.run, entries.table(one.episodes), entries.table_path(one))
        for video in videos:
            self._client.log_artifact(before.run, str(video), "videos")
        if before.state in ("failed", "stopped") and trial.error is None:
            self._client.delete_tag(before.run, "worldgrid.error")
        if content or trial.state != before.state:
            how = entries.origin(grid, trial, fingerprint(self._store, [trial])) if content else {}
            self._log_tags(before.run, entries.progress(trial, content) | how)
        after = _Cursor(
            run=before.run,
            status=before.status,
            content=content,
            state=trial.state,
            curves=curves,
            episodes={one.key: entries.prefix(one.episodes) for one in trial.evaluations},
            results=frozenset(one.key for one in trial.evaluations if one.done),
        )
        return self._end(after, status, _ended(grid.created, [trial]))

    def _link(self, grid: Grid, trial: Trial, run: str) -> dict[int, str]:
        """Name the data and the checkpoints that a trial's results come from; epoch -> the checkpoint's model."""
        from mlflow.entities import LoggedModelInput

        assert self._models
        owner = next(one for one in grid.trials if one.steps["train"] == trial.steps["train"])
        epochs = [one.epoch for one in trial.evaluations if one.done]
        models = {epoch: self._models.obtain(trial, epoch, self._children[owner.key].run) for epoch in epochs}
        there = self._client.get_run(run).inputs
        known = {one.model_id for one in there.model_inputs} if there else set()
        inputs = [LoggedModelInput(model) for model in models.values() if model not in known]
        self._client.log_inputs(run, datasets(self._store, trial), inputs)
        return models

    def _read_curves(self, trial: Trial, known: Mapping[str, int]) -> tuple[list[entries.Point], dict[str, int]]:
        """New points of the trial's curves, and where they end: training's under plain names, others' under theirs."""
        points, places = [], {}
        for stage, key in trial.steps.items():
            lines, places[stage] = read_curve(curve_path(self._store, key), known.get(stage, 0))
            prefix = "" if stage == "train" else f"{stage}/"
            points += [point for line in lines for point in entries.of_line(line, prefix)]
        system = self._store.folder(trial.steps["train"], SYSTEM) / SYSTEM
        lines, places[SYSTEM] = read_curve(system, known.get(SYSTEM, 0))
        points += [point for line in lines for point in entries.of_line(line, "")]
        return points, places

    def _write_parent(self, grid: Grid, before: _Cursor) -> _Cursor:
        """The roll-up of all trials and the report, whenever a trial has settled or the report is new."""
        page = report_folder(self._store, self._name) / "report.html"
        children = [self._children[trial.key] for trial in grid.trials]
        states = {child.status for child in children}
        status = "RUNNING" if "RUNNING" in states else "FAILED" if "FAILED" in states else "FINISHED"
        said = [grid.question, grid.source, dict(grid.baseline), [child.content for child in children]]
        content = digest([*said, file_digest(page) if page.exists() else ""])
        if (content, status) == (before.content, before.status):
            return before
        rows, choices = make_rows(grid), make_choices(grid)
        best = max(choices, key=lambda one: one.rate.rate, default=None)
        assert self._models
        held = roles(grid, best.trials if best else ())
        self._models.assign(held)
        if status != "RUNNING":  # who is best on the way says nothing
            self._models.register(grid.name, held)
        facts = {"command": grid_command(grid), "ran on": fingerprint(self._store, grid.trials)}
        texts = {"grid.yaml": grid.source, "trials.csv": to_csv(grid, rows), "trials.md": to_markdown(grid, rows)}
        texts |= {"choices.csv": choices_to_csv(grid, choices), "reproduce.json": json.dumps(facts, indent=1)}
        for name, text in texts.items():
            self._client.log_text(before.run, text, name)
        if page.exists():
            self._client.log_artifact(before.run, str(page))
        note = f"{grid.question}\n\n{answer(grid, compare_axes(grid), choices)}"
        note += "\n\nFigures and tests: artifact report.html."
        said_how = {"worldgrid.overrides": " ".join(grid.overrides)} if grid.overrides else {}
        self._log_tags(before.run, {"mlflow.note.content": note, "worldgrid.content": content} | said_how)
        return self._end(replace(before, content=content), status, _ended(grid.created, grid.trials))

    def _end(self, cursor: _Cursor, status: str, time: float) -> _Cursor:
        """Bring a run's status up to date; `time` is when it came to its end, if it did."""
        if status == cursor.status:
            return cursor
        if status == "RUNNING":
            self._client.update_run(cursor.run, status)
        else:
            self._client.set_terminated(cursor.run, status, round(1000 * time))
        return replace(cursor, status=status)

    def _log_points(self, run: str, points: Sequence[entries.Point], models: Mapping[int, str]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(point.name, point.value, point.time, point.step, models.get(point.checkpoint or 0))
            for point in points
        ]
        for start in range(0, len(metrics), METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + METRICS])

    def _log_params(self, run: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        pairs = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(pairs), PARAMS):
            self._client.log_batch(run, params=pairs[start : start + PARAMS])

    def _log_tags(self, run: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run, tags=[RunTag(name, value[:LETTERS]) for name, value in tags.items()])


def catch_up(store: Store, name: str, uri: str, *, stopped: bool = False) -> str:
    """A last pass after a run; a line that says what to do later where the server does not answer, else nothing."""
    from mlflow.exceptions import MlflowException

    tracker = Tracker(store, name, uri)
    try:
        (tracker.close if stopped else tracker.sync)()
    except MlflowException as error:
        reason = str(error).splitlines()[0][:200]
        return f"not all is in MLflow ({reason}); nothing is lost: `worldgrid track {name}` writes the rest"
    return ""


def _cursor(run: Run) -> _Cursor:
    tags = run.data.tags
    content, state = tags.get("worldgrid.content", ""), tags.get("worldgrid.state", "")
    return _Cursor(run.info.run_id, run.info.status, content, state)


def _ended(created: float, trials: Sequence[Trial]) -> float:
    """When the last evaluation ended; a trial that was in the store already ended when it was asked for."""
    return max([created, *(one.done.finished for trial in trials for one in trial.evaluations if one.done)])
