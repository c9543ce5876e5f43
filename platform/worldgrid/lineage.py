"""What MLflow knows beside runs: the data of a trial, evaluated checkpoints as models, the chosen ones registered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from worldgrid.results import Grid, Trial
from worldgrid.step import canonical
from worldgrid.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.tracking import MlflowClient

CONTEXTS = {"collect": "training", "ingest": "training", "tasks": "evaluation"}
"""Stage -> what its data are for; other stages hold nothing that others would call a data set."""
ROLE = "worldgrid.role"
CHECKPOINT = "worldgrid.checkpoint"
"""Tag of a registered version: the name of its model."""


def checkpoint_name(trial: Trial, epoch: int) -> str:
    """What a checkpoint is called among an experiment's models; trials that share a training share its models."""
    return f"{trial.steps['train']}-epoch-{epoch:04d}"


def datasets(store: Store, trial: Trial) -> list[DatasetInput]:
    """The finished data sets of a trial: named by stage, told apart by key."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = []
    for stage, context in CONTEXTS.items():
        key = trial.steps.get(stage)
        done = store.done(key) if key else None
        if key and done:
            source = json.dumps({"uri": f"{store.root}/{key}"})
            profile = canonical(done.metrics)
            data = Dataset(
                f"{trial.settings['env']['kind']} {stage}", key.rpartition("-")[2], "local", source, profile=profile
            )
            found.append(DatasetInput(data, [InputTag("mlflow.data.context", context)]))
    return found


class Models:
    """The models of one experiment, each made once and found again by its name."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client, self._experiment = client, experiment
        self._ids: dict[str, str] = {}
        self._roles: dict[str, str] = {}
        token: str | None = None
        while True:
            page = client.search_logged_models([experiment], page_token=token)
            for model in page:
                self._ids[model.name] = model.model_id
                self._roles[model.name] = str(model.tags.get(ROLE, ""))
            if not (token := page.token):
                return

    def obtain(self, trial: Trial, epoch: int, run: str) -> str:
        """The id of a checkpoint's model, made in the name of `run` if it is not there."""
        name = checkpoint_name(trial, epoch)
        if name not in self._ids:
            from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

            params = {f"predictor.{field}": canonical(value) for field, value in trial.settings["predictor"].items()}
            tags = {MLFLOW_MODEL_IS_EXTERNAL: "true", "worldgrid.step.train": trial.steps["train"]}
            tags |= {
                "worldgrid.epoch": str(epoch),
                "worldgrid.export": f"worldgrid export {trial.steps['train']} FOLDER",
            }
            model = self._client.create_logged_model(self._experiment, name, run, tags, params, "predictor")
            self._client.finalize_logged_model(model.model_id, "READY")
            self._ids[name] = model.model_id
        return self._ids[name]

    def assign(self, roles: Mapping[str, Sequence[str]]) -> None:
        """Tag the models that play a role (`baseline`, `best`), and take it from those that no longer do."""
        for name in self._ids:
            role = ", ".join(roles.get(name, ()))
            if role != self._roles.get(name, ""):
                self._client.set_logged_model_tags(self._ids[name], {ROLE: role})
                self._roles[name] = role

    def register(self, grid: str, roles: Mapping[str, Sequence[str]]) -> None:
        """Let `models:/GRID@baseline` and `models:/GRID@best` name the first checkpoint of each role.

        One registered model per grid, a version for each of these checkpoints; a version that lost its alias stays.
        """
        found = self._client.search_registered_models(f"name = '{grid}'")
        if not found:
            self._client.create_registered_model(grid, description="The checkpoints that a grid's answer speaks of.")
        aliases = found[0].aliases if found else {}
        there = self._client.search_model_versions(f"name = '{grid}'")
        versions = {one.tags.get(CHECKPOINT): one.version for one in there}
        first = {role: name for name, held in reversed(list(roles.items())) if name in self._ids for role in held}
        for role in sorted(first):
            name = first[role]
            if name not in versions:
                versions[name] = self._add_version(grid, name)
            if str(aliases.get(role)) != str(versions[name]):
                self._client.set_registered_model_alias(grid, role, versions[name])

    def _add_version(self, grid: str, name: str) -> str:
        model = self._client.get_logged_model(self._ids[name])
        # Its place and run in full: of a `models:/` address MLflow asks its global server, which may be another one.
        made = self._client.create_model_version(
            grid, model.artifact_location, model.source_run_id, {CHECKPOINT: name}, model_id=model.model_id
        )
        return str(made.version)


def roles(grid: Grid, best: Sequence[Trial]) -> dict[str, list[str]]:
    """Checkpoint -> its roles: the last ones of the baseline's and of the best choice's trials."""
    found: dict[str, list[str]] = {}
    chosen = {"baseline": [trial for trial in grid.trials if grid.is_baseline(trial)], "best": best}
    for role, trials in chosen.items():
        for trial in trials:
            held = found.setdefault(checkpoint_name(trial, trial.final.epoch), [])
            held += [role] if role not in held else []
    return found
