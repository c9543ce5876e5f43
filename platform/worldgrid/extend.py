"""Extend: a training of more epochs begins where the longest finished one of the same recipe ended.

Only where its steps are the same in both: a rate, or a weight decay, that depends on how long the run is makes another
training of it from the first step on. Then it ends with the same weights as if it had run from the beginning.
"""

from __future__ import annotations

from worldgrid.checkpoints import checkpoint_name
from worldgrid.resume import RESUME
from worldgrid.spec import JSON, parse
from worldgrid.step import Step, canonical
from worldgrid.store import Done, Store, write_whole
from worldgrid.training import Train


def extend(step: Step, store: Store) -> str | None:
    """Leave the state of the shorter run in a training's folder that has none yet; the key of that run, if there is."""
    settings, out = parse(Train, step.config["train"], "train"), store.workspace(step.key)
    if not settings.extends or (out / RESUME).exists():
        return None
    done = _longest_shorter(step, settings.epochs, store)
    if done is None:
        return None
    folder = store.folder(done.key)
    unpublished = {checkpoint_name(epoch) for epoch in range(1, settings.epochs)} - {
        checkpoint_name(epoch) for epoch in settings.published()
    }
    for name in sorted(done.files.keys() - unpublished, key=lambda name: name == RESUME):  # the state last
        write_whole(out / name, (folder / name).read_bytes())
    return done.key


def _longest_shorter(step: Step, epochs: int, store: Store) -> Done | None:
    found: Done | None = None
    for key in store.every_key():
        done = store.done(key) if key.startswith("train-") else None
        if done and RESUME in done.files and _but_epochs(done.recipe) == _but_epochs(step.recipe):
            trained = done.recipe["config"]["train"]["epochs"]
            if trained < epochs and (found is None or trained > found.recipe["config"]["train"]["epochs"]):
                found = done
    return found


def _but_epochs(recipe: JSON) -> str:
    """A training's recipe without how long it is."""
    config = recipe["config"]
    return canonical(recipe | {"config": config | {"train": config["train"] | {"epochs": None}}})
