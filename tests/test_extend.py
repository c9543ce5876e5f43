"""More epochs begin where the longest shorter run ended, where that changes no number."""

from pathlib import Path
from typing import Any

import pytest
import torch

from worldgrid.checkpoints import checkpoint_name
from worldgrid.experiment import Experiment
from worldgrid.extend import extend
from worldgrid.resume import RESUME
from worldgrid.step import Step
from worldgrid.store import Store, write_whole

from .stages.test_train import trained
from .worlds import EXACT

LASTING = {"batch": 16, "frames": 3, "lr": 3e-3, "weight_decay": [1e-6, 1e-6]}


def training(**train: Any) -> Step:
    settings = EXACT | {
        "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 1, "proprio": "none"},
        "collect": {"episodes": 20, "steps": 30, "keep": 5},
        "train": LASTING | train,
    }
    return Experiment.parse(settings).training()


def finish(store: Store, step: Step) -> None:
    """A finished training as it lies in the store, its state among its files."""
    folder, epochs = store.workspace(step.key), step.config["train"]["epochs"]
    for name in ["metrics.jsonl", *(checkpoint_name(epoch) for epoch in range(1, epochs + 1)), RESUME]:
        write_whole(folder / name, f"{name} of {epochs}".encode())
    store.commit(step, {}, 1.0, {})


def test_a_longer_run_begins_with_the_files_of_the_longest_shorter_one(tmp_path: Path) -> None:
    store, longer = Store(tmp_path), training(epochs=9)
    for epochs in (2, 5, 3):
        finish(store, training(epochs=epochs))
    assert extend(longer, store) == training(epochs=5).key
    files = {path.name: path.read_text() for path in store.folder(longer.key).iterdir()}
    assert files[RESUME] == f"{RESUME} of 5"
    assert sorted(files) == sorted([RESUME, "metrics.jsonl", *(checkpoint_name(epoch) for epoch in range(1, 6))])
    assert store.done(longer.key) is None


def test_checkpoints_that_the_longer_run_does_not_publish_are_left_out(tmp_path: Path) -> None:
    store, shorter, longer = Store(tmp_path), training(epochs=3, publish=2), training(epochs=4, publish=2)
    finish(store, shorter)
    extend(longer, store)
    assert [path.name for path in store.folder(longer.key).glob("epoch-*")] == [checkpoint_name(2)]


def test_what_an_interrupted_run_left_comes_first(tmp_path: Path) -> None:
    store, longer = Store(tmp_path), training(epochs=9)
    finish(store, training(epochs=5))
    (store.workspace(longer.key) / RESUME).write_text("of 7")
    assert extend(longer, store) is None
    assert (store.folder(longer.key) / RESUME).read_text() == "of 7"


@pytest.mark.parametrize(
    "change", [{"schedule": "cosine"}, {"schedule": "wsd"}, {"warmup": 0.1}, {"weight_decay": [1e-7, 1e-6]}]
)
def test_a_schedule_that_knows_the_end_is_trained_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    store = Store(tmp_path)
    finish(store, training(epochs=5, **change))
    assert extend(training(epochs=9, **change), store) is None


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 1e-3}, {"batch": 8}])
def test_another_recipe_is_no_shorter_run(tmp_path: Path, change: dict[str, Any]) -> None:
    store = Store(tmp_path)
    finish(store, training(epochs=5, **change))
    assert extend(training(epochs=9), store) is None


def test_a_longer_run_is_no_shorter_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, training(epochs=9))
    assert extend(training(epochs=5), store) is None


@pytest.mark.ray
@pytest.mark.slow
def test_an_extended_run_ends_with_the_weights_of_one_that_ran_through(cluster: None, tmp_path: Path) -> None:
    straight, extended = Store(tmp_path / "straight"), Store(tmp_path / "extended")
    trained(extended, training(epochs=3), 1)
    whole, continued = (trained(store, training(epochs=8), 1) for store in (straight, extended))
    for name, weight in whole.items():
        assert torch.equal(weight, continued[name])
    first = (extended.folder(training(epochs=3).key) / checkpoint_name(2)).read_bytes()
    assert (extended.folder(training(epochs=8).key) / checkpoint_name(2)).read_bytes() == first
