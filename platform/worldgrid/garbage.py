"""Garbage: the steps of a store that no named grid needs. What an import left stays, for it cannot be made again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from worldgrid.results import grid_names
from worldgrid.spec import JSON
from worldgrid.store import Store


@dataclass(frozen=True)
class Surplus:
    """A step that nothing needs."""

    key: str
    bytes: int
    finished: bool


def needed(store: Store) -> set[str]:
    """The keys of all steps that a named grid stands on, as it was last run, and of the decoders of its data."""
    keys: set[str] = set()
    for name in grid_names(store):
        record = json.loads(store.file("grids", f"{name}.json").read_text(encoding="utf-8"))
        for trial in record["trials"]:
            played = [*trial["evaluations"], *trial.get("rungs", ())]
            keys |= {*trial["steps"].values(), *(one["key"] for one in played)}
    decoders = (key for key in store.every_key() if key.startswith("decode-"))
    return keys | {key for key in decoders if (done := store.done(key)) and done.recipe["inputs"]["latents"] in keys}


def surplus(store: Store) -> list[Surplus]:
    """What could be removed, the largest first."""
    wanted = needed(store)
    found = [_surplus(store, key) for key in store.every_key() if key not in wanted]
    return sorted((one for one in found if one), key=lambda one: (-one.bytes, one.key))


def _surplus(store: Store, key: str) -> Surplus | None:
    done = store.done(key)
    if done and _is_brought(done.recipe):
        return None
    return Surplus(key, store.size(key), done is not None)


def _is_brought(recipe: JSON) -> bool:
    """Whether a step came from outside: trainings that were trained on nothing, data that no env was played for."""
    without = recipe["stage"] == "train" or (recipe["stage"] == "collect" and "env" not in recipe["config"])
    return without and not recipe["inputs"]
