"""What a worker holds, and whose turn it is."""

from pathlib import Path

import pytest
import torch

from worldgrid.stages.evaluate import load_world_model
from worldgrid.store import Store
from worldgrid.worker import HandedBackError, Models, Turn, egl_environment, pack, unpack
from worldgrid.world_model import WorldModel

from .worlds import exact_evaluation, untrained_evaluation


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def untrained(store: Store) -> WorldModel:
    return load_world_model(untrained_evaluation(store, env={"kind": "wall"}), store)


def test_models_used_last_are_kept() -> None:
    models = Models(most=2)
    for name in ("a", "b", "a", "c"):
        models.get(name, lambda name=name: name.upper())
    assert models.names() == ["a", "c"]


def test_a_model_that_is_held_is_not_loaded_again() -> None:
    models = Models()
    first = models.get("a", object)
    assert models.get("a", lambda: pytest.fail("loaded twice")) is first


def test_nobody_gets_a_turn_who_was_told_to_leave() -> None:
    turn = Turn()
    with turn:
        turn.leave()
    with pytest.raises(HandedBackError), turn:
        pass


@pytest.mark.parametrize(("gpus", "device"), [([], None), ([3], "3"), (["1"], "1"), (["GPU-8e1f"], None)])
def test_simulators_draw_on_the_gpu_of_their_planner(gpus: list[int | str], device: str | None) -> None:
    assert egl_environment(gpus).get("MUJOCO_EGL_DEVICE_ID") == device


def test_a_packed_world_model_is_the_same_after_unpacking(untrained: WorldModel) -> None:
    after = unpack(pack(untrained), "cpu")
    weights = [dict(model.predictor.state_dict()) for model in (untrained, after)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not any(weight.requires_grad for weight in after.predictor.parameters())


def test_unpacked_weights_are_the_bytes_that_were_packed_not_copies(untrained: WorldModel) -> None:
    packed = pack(untrained)
    places = {array.ctypes.data for array in packed[1]}
    weights = unpack(packed, "cpu").predictor.parameters()
    assert {weight.data_ptr() for weight in weights} <= places


def test_a_world_model_without_weights_can_be_packed(store: Store) -> None:
    assert unpack(pack(load_world_model(exact_evaluation(store), store)), "cpu").context == 1
