"""Training a predictor under Ray Train."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.worlds import EXACT
from worldgrid.experiment import Experiment
from worldgrid.memo import Memo
from worldgrid.resume import RESUME
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError
from worldgrid.stages import Job, stage
from worldgrid.stages.train import _train
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trained import load_predictor


def training(**train: Any) -> Step:
    """A small predictor on the little data that `point` makes."""
    settings = EXACT | {
        "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 1, "proprio": "none"},
        "collect": {"episodes": 20, "steps": 30, "keep": 5},
        "train": {"epochs": 12, "batch": 16, "frames": 3, "lr": 3e-3} | train,
    }
    return Experiment.parse(settings).training()


def trained(
    store: Store, step: Step, workers: int | tuple[int, int], cpus: float = 0.5, **train: Any
) -> dict[str, torch.Tensor]:
    """The last weights, after training on so many workers."""
    import ray

    scale = Scale(train={"workers": workers, "cpus": cpus} | train)  # type: ignore[arg-type]
    ray.get(ray.remote(Memo).options(num_cpus=0).remote(store, scale, None).obtain.remote(step))
    return load_file(max(store.folder(step.key).glob("epoch-*.safetensors")))


def losses(store: Store, step: Step) -> list[float]:
    lines = (store.folder(step.key) / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


@pytest.mark.ray
@pytest.mark.slow
def test_one_two_and_four_workers_learn_the_same_to_rounding(cluster: None, tmp_path: Path) -> None:
    step = training(log=1, batch=18)  # four workers take 5, 5, 4 and 4 clips
    stores = {workers: Store(tmp_path / str(workers)) for workers in (1, 2, 4)}
    weights = {workers: trained(store, step, workers) for workers, store in stores.items()}
    for workers in (2, 4):
        for name, weight in weights[1].items():
            torch.testing.assert_close(weight, weights[workers][name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(losses(stores[workers], step), losses(stores[1], step), rtol=1e-4)
    first, last = losses(stores[1], step)[0], losses(stores[1], step)[-1]
    assert last < 0.5 * first
    predictor, _ = load_predictor(stores[1].folder(step.key), epoch=12)
    assert not any(weight.requires_grad for weight in predictor.parameters())
    done = stores[1].done(step.key)
    assert done is not None
    assert done.metrics["validation/action_sensitivity"] > 1
    assert not (stores[1].folder(step.key) / RESUME).exists()


@pytest.mark.ray
@pytest.mark.slow
def test_an_elastic_training_begins_with_as_many_workers_as_there_is_room_for(cluster: None, tmp_path: Path) -> None:
    step, alone, elastic = training(), Store(tmp_path / "alone"), Store(tmp_path / "elastic")
    weights = trained(alone, step, 1)
    for name, weight in trained(elastic, step, (1, 4), cpus=1.0).items():  # the cluster has two CPUs
        torch.testing.assert_close(weight, weights[name], rtol=1e-4, atol=1e-5)
    done = elastic.done(step.key)
    assert done is not None
    assert done.host["spent"]["worker_seconds"] > 1.5 * done.seconds


def trained_here(
    store: Store, step: Step, scale: Scale | None = None, until: tuple[int | None, ...] = (None,)
) -> dict[str, torch.Tensor]:
    """The last weights, after training up to these epochs in this process: Ray Train's local mode, no cluster."""
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    for needed in step.inputs["latents"].walk():
        if not store.done(needed.key):
            store.commit(needed, stage(needed.stage)(Job.open(needed, store, Scale())), seconds=0.0, host={})
    job = Job.open(step, store, scale or Scale())
    for epoch in until:
        TorchTrainer(lambda until=epoch: _train(job, until), scaling_config=ScalingConfig(num_workers=0)).fit()
    return load_file(max(job.out.glob("epoch-*.safetensors")))


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((weight - other[name]).abs().max()) for name, weight in one.items())


def test_what_is_published_is_the_average_of_the_weights(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plain, forgetful, slow = (trained_here(store, training(epochs=2, ema=ema)) for ema in (None, 1e-12, 0.99))
    assert farthest(plain, forgetful) == 0.0
    assert farthest(plain, slow) > 1e-3


def test_training_in_bf16_ends_near_where_fp32_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    exact, rough = (trained_here(store, training(epochs=2, precision=precision)) for precision in ("fp32", "bf16"))
    assert 0 < farthest(exact, rough) < 0.05
    assert {weight.dtype for weight in rough.values()} == {torch.float32}


def test_gradients_added_over_several_passes_are_those_of_one(tmp_path: Path) -> None:
    step, whole, parts = training(epochs=2, log=1), Store(tmp_path / "whole"), Store(tmp_path / "parts")
    once, added = trained_here(whole, step), trained_here(parts, step, Scale(train={"clips": 6}))  # type: ignore[arg-type]
    for name, weight in once.items():
        torch.testing.assert_close(weight, added[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(losses(parts, step), losses(whole, step), rtol=1e-4)


def test_a_training_that_waits_at_an_epoch_ends_with_the_same_weights(tmp_path: Path) -> None:
    step, straight, paused = training(epochs=4, ema=0.9), Store(tmp_path / "straight"), Store(tmp_path / "paused")
    whole, again = trained_here(straight, step), trained_here(paused, step, until=(1, 1, 3, None))
    assert farthest(whole, again) == 0.0
    assert losses(paused, step) == losses(straight, step)
    assert sorted(path.name for path in paused.folder(step.key).glob("epoch-*")) == [
        f"epoch-{epoch:04d}.safetensors" for epoch in (1, 2, 3, 4)
    ]


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_weights_are_the_same_to_the_bit(cluster: None, tmp_path: Path) -> None:
    step = training(epochs=200, publish=200, ema=0.9)
    calm, disturbed = Store(tmp_path / "calm"), Store(tmp_path / "disturbed")
    straight = trained(calm, step, 1)
    (tmp_path / "killed").mkdir()
    killer = threading.Thread(
        target=kill_the_worker_after_an_epoch, args=(disturbed.root / step.key, tmp_path / "killed")
    )
    killer.start()
    again = trained(disturbed, step, 1, save=0.01)  # so that it goes on from within an epoch
    killer.join()
    assert list((tmp_path / "killed").iterdir())
    for name, weight in straight.items():
        assert torch.equal(weight, again[name])


def kill_the_worker_after_an_epoch(folder: Path, killed: Path) -> None:
    """Leaves a file named by the process it killed."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not (folder / RESUME).exists():
        time.sleep(0.002)
    for process in psutil.process_iter(["cmdline"]):
        if any("RayTrainWorker" in word for word in process.info["cmdline"] or ()):
            process.kill()
            (killed / str(process.pid)).touch()


def test_clips_shorter_than_the_loss_needs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.frames: given 2; at least 3 fits"):
        Experiment.parse(EXACT | {"train": {"frames": 2, "rollout": 2}})
