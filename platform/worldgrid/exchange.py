"""Exchange: trained predictors in and out of a store; official checkpoints as ours."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from worldgrid.checkpoints import checkpoint_name
from worldgrid.grid import Grid
from worldgrid.host import fingerprint
from worldgrid.hub import read_folder
from worldgrid.predictors import PREDICTORS, translate
from worldgrid.published import IDENTITY, encoder_section, read_settings, settings_like, statistics
from worldgrid.spec import JSON, ConfigError, read_override, read_text, read_yaml, suggest
from worldgrid.step import Step
from worldgrid.store import Store, file_digest, write_whole
from worldgrid.tensors import plain, read_tensors
from worldgrid.trained import Facts, Trained, imported

ORIGIN = "origin.json"
"""Beside imported weights: where they came from."""


def put(trained: Trained, store: Store) -> Step:
    """Leave a checkpoint in the store as a finished `train` step, which is there already if it was put before."""
    step = imported(PREDICTORS.parse(trained.section()))
    if store.done(step.key) is None:
        began = time.monotonic()
        store.prepare()
        folder = store.workspace(step.key)
        trained.facts.write(folder)
        write_whole(folder / ORIGIN, json.dumps(trained.origin, indent=1).encode())
        write_whole(folder / checkpoint_name(trained.epoch), save(trained.weights))
        parameters = sum(tensor.numel() for tensor in trained.weights.values())
        store.commit(step, {"parameters": parameters}, time.monotonic() - began, fingerprint())
    return step


def check_imports(grid: Grid, store: Store) -> None:
    """Raises ConfigError before anything runs where a grid names an import that is not in the store."""
    for trial in grid.trials:
        predictor = trial.experiment.predictor
        if predictor.imported is not None and store.done(trial.training.key) is None:
            raise ConfigError(
                f"predictor: given {json.dumps(predictor.recipe())}, which is not in store {store.root}; "
                "`worldgrid import` puts it there and prints the section that fits"
            )


def take(store: Store, key: str, epoch: int | None = None) -> Trained:
    """A checkpoint of a finished `train` step, the last one unless an epoch is named; raises ConfigError without it."""
    done, folder = store.done(key), store.folder(key)
    if done is None or not key.startswith("train-"):
        finished = [path.parent.name for path in store.root.glob("train-*/done.json")]
        raise ConfigError(f"store {store.root} has no finished training '{key}'{suggest(key, finished)}")
    epochs = sorted(int(path.stem.removeprefix("epoch-")) for path in folder.glob("epoch-*.safetensors"))
    chosen = epochs[-1] if epoch is None else epoch
    if chosen not in epochs:
        raise ConfigError(f"{key} has no epoch {epoch}; there are {', '.join(map(str, epochs))}")
    known = folder / ORIGIN
    origin = json.loads(known.read_text(encoding="utf-8")) if known.exists() else _origin(store, key, done.recipe)
    return Trained(Facts.read(folder), chosen, read_tensors(folder / checkpoint_name(chosen)), origin)


def _origin(store: Store, key: str, recipe: JSON) -> JSON:
    """What a predictor was trained on, as far as the store still knows."""
    latents = store.done(recipe["inputs"].get("latents", ""))
    encoder = {name: latents.recipe["config"].get(name) for name in ("encoder", "weights")} if latents else {}
    return {"step": key, "env": recipe["config"].get("env"), "train": recipe["config"].get("train")} | encoder


def read(
    path: Path,
    settings: Path | None = None,
    like: str | None = None,
    overrides: Sequence[str] = (),
    normalised: str = IDENTITY,
) -> Trained:
    """A checkpoint from outside: a folder that `write_folder` left, or an official file with what else it needs.

    `settings` is the file of its official settings, of which single ones may be overridden (`pred_num_heads=4`).
    """
    if path.is_dir():
        if settings or like or overrides:
            raise ConfigError(f"{path}: a folder has its own settings; others are for official checkpoints")
        return read_folder(path)
    told = None if settings is None else read_yaml(read_text(settings), str(settings))
    if settings and not isinstance(told, Mapping):
        raise ConfigError(f"{settings}: official model settings (name: value) fit")
    fits = "an official model setting and its value (name=value)"
    changes = dict(read_override(override, fits) for override in overrides)
    return read_official(path, told, like, changes, normalised)


def read_official(
    path: Path, settings: Mapping[str, Any] | None, like: str | None, changes: Mapping[str, Any], normalised: str
) -> Trained:
    """An official `.pth.tar`, with its `settings` or, for a kind (`like`), those that its weights tell.

    `changes` are official settings that come last; `normalised` says whose statistics (`published.STATISTICS`) its
    inputs were standardised with. Raises ConfigError for what cannot be read, fits no settings, or holds code.
    """
    held = read_tensors(path)
    _check_parts(held, path)
    if (settings is None) == (like is None):
        raise ConfigError(f"{path}: its official model settings (--settings) or its kind (--like), one of them, fits")
    try:
        if settings is not None:
            chosen = read_settings(settings, held, changes)
        else:
            chosen = settings_like(str(like), held, changes)
        found = translate(held, chosen)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (RuntimeError, ValueError) as error:  # shapes or settings that cannot be
        raise ConfigError(f"{path}: does not fit its settings ({' '.join(str(error).split())[:160]})") from None
    encoder = encoder_section(settings) if settings is not None else None
    origin = {"file": path.name, "sha256": file_digest(path), "statistics": normalised, "encoder": encoder}
    facts = Facts(found.predictor, found.shapes, statistics(normalised, found.shapes.action, found.shapes.proprio))
    epoch = held.get("epoch")
    return Trained(_felt(facts), epoch if isinstance(epoch, int) and epoch > 0 else 1, plain(found.weights), origin)


def _felt(facts: Facts) -> Facts:
    """Without the statistics of proprioception where it is not read."""
    if not facts.predictor.uses_proprio:
        unread = facts.normalisation.model_copy(update={"proprio_mean": (), "proprio_std": ()})
        return Facts(facts.predictor, replace(facts.shapes, proprio=0), unread)
    given, fits = len(facts.normalisation.proprio_mean), facts.shapes.proprio
    if given != fits:
        raise ConfigError(f"statistics: given those of {given} numbers of proprioception; {fits} fit this checkpoint")
    return facts


def _check_parts(held: Mapping[str, Any], path: Path) -> None:
    for part in ("predictor", "action_encoder", "proprio_encoder"):
        weights = held.get(part) or {}
        if not isinstance(weights, Mapping) or not all(isinstance(one, Tensor) for one in weights.values()):
            raise ConfigError(f"{path}: no official checkpoint: {part} is not tensors by name")
