"""Reads back what a tracking server says of the made-up grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .synthetic import NAME


def runs_of(uri: str) -> Iterator[tuple[Any, Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    for run in client.search_runs([experiment.experiment_id]):
        yield client, run


def content(uri: str) -> dict[str, Any]:
    """All that a server says of the grid, less the ids that it chose itself."""
    found = {}
    for client, run in runs_of(uri):
        tags = {name: value for name, value in run.data.tags.items() if name != "mlflow.parentRunId"}
        points = {
            name: sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        files = {
            path: Path(client.download_artifacts(run.info.run_id, path)).read_bytes() for path in listed(client, run)
        }
        key = tags.get("worldgrid.trial", "parent")
        assert key not in found
        data = sorted((one.dataset.name, one.dataset.digest, one.dataset.profile) for one in run.inputs.dataset_inputs)
        models = sorted(names_of_models(client, run)[one.model_id] for one in run.inputs.model_inputs)
        said = (run.info.run_name, run.info.end_time, run.data.params, tags, points, data, models, files)
        found[key] = (run.info.status, *said)
    found["models"] = models_of(uri) | {"registered": registered(uri)}
    return found


def listed(client: Any, run: Any, folder: str | None = None) -> list[str]:
    """The paths of a run's artifacts."""
    found = []
    for one in client.list_artifacts(run.info.run_id, folder):
        found += listed(client, run, one.path) if one.is_dir else [one.path]
    return found


def names_of_models(client: Any, run: Any) -> dict[str, str]:
    return {one.model_id: one.name for one in client.search_logged_models([run.info.experiment_id])}


def models_of(uri: str) -> dict[str, Any]:
    """Every model by its name: status, params, our tags, and the metrics of all runs that planned with it."""
    client, run = next(runs_of(uri))
    found = {}
    for one in client.search_logged_models([run.info.experiment_id]):
        tags = {name: value for name, value in one.tags.items() if name != "mlflow.modelVersions"}  # a server's own
        found[one.name] = (
            str(one.status),
            one.params,
            tags,
            sorted((m.key, m.step, m.value) for m in one.metrics or []),
        )
    return found


def registered(uri: str) -> dict[str, str]:
    """Alias -> the checkpoint that the grid's registered model names by it; empty before there is one."""
    client, _ = next(runs_of(uri))
    aliases = {alias for one in client.search_registered_models() for alias in one.aliases}
    versions = {alias: client.get_model_version_by_alias(NAME, alias) for alias in sorted(aliases)}
    return {alias: version.tags["worldgrid.checkpoint"] for alias, version in versions.items()}


def of_trial(uri: str, trial: dict[str, Any]) -> tuple[Any, Any]:
    return next((client, run) for client, run in runs_of(uri) if run.data.tags.get("worldgrid.trial") == trial["key"])


def steps(uri: str, trial: dict[str, Any], metric: str) -> list[int]:
    client, run = of_trial(uri, trial)
    return [point.step for point in client.get_metric_history(run.info.run_id, metric)]
