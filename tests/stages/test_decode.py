"""The stage `decode`: what a decoder learns from recorded frames and their latents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inspected import WALL, run
from tests.worlds import UNTRAINED
from worldgrid.experiment import Experiment
from worldgrid.latents import Latents
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError
from worldgrid.stages import Job, decode
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.trajectories import Trajectories

from .test_pretrain import interrupted_when_there

SETTINGS: dict[str, Any] = {"steps": 240, "batch": 16, "lr": 5e-3, "width": 48, "depth": 1}
FINE = {"encoder": {"kind": "pixels", "patch": 4}, "collect": WALL["collect"] | {"shard": 8}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    for step in latents().walk():
        run(store, step)
    return store


def latents() -> Step:
    return Experiment.parse(UNTRAINED | WALL | FINE).latents()


def job(store: Store, out: Path, **changes: Any) -> Job:
    step = decode.decoding(latents(), decode.read(SETTINGS | changes, "decode"))
    out.mkdir(exist_ok=True)
    return Job(step, {name: store.folder(needed.key) for name, needed in step.inputs.items()}, out, Scale())


def test_it_draws_held_out_frames_better_than_their_mean(store: Store, tmp_path: Path) -> None:
    metrics = decode.run(job(store, tmp_path))
    assert metrics["psnr"] > metrics["psnr_mean_frame"] + 2


def test_interrupted_and_resumed_is_uninterrupted_to_the_bit(store: Store, tmp_path: Path) -> None:
    whole, parts = (job(store, tmp_path / name, steps=decode.SAVE + 20) for name in ("whole", "parts"))
    metrics = decode.run(whole)
    with interrupted_when_there(parts.out / decode.RESUME):
        decode.run(parts)
    assert not (parts.out / decode.WEIGHTS).exists()
    assert decode.run(parts) == metrics
    assert (parts.out / decode.WEIGHTS).read_bytes() == (whole.out / decode.WEIGHTS).read_bytes()
    assert not (parts.out / decode.RESUME).exists()


def test_a_finished_one_is_read_back_and_draws(store: Store, tmp_path: Path) -> None:
    done = job(store, tmp_path, steps=2)
    decode.run(done)
    there = Latents(done.inputs["latents"])
    decoder = decode.load_decoder(done.step.config, tmp_path, there)
    tokens = decode.Pictures(there, np.arange(3), np.empty(0)).tokens(slice(None))  # type: ignore[arg-type]
    assert decoder.draw(tokens).shape == (3, 32, 32, 3)
    assert not any(weight.requires_grad for weight in decoder.parameters())


def test_frames_are_found_by_their_numbers_over_all_shards(store: Store) -> None:
    source = Trajectories(store.folder(latents().inputs["trajectories"].key))
    every = np.concatenate([trajectory.frames for shard in source for trajectory in shard])
    assert source.shards > 1
    rows = np.array([len(every) - 1, 0, 57, 58, 56, 57])
    np.testing.assert_array_equal(decode.recorded_frames(source, rows), every[rows])


def test_a_perceptual_encoder_is_part_of_the_loss_and_of_the_metrics(store: Store, tmp_path: Path) -> None:
    metrics = decode.run(job(store, tmp_path, steps=2, perceptual={"kind": "pixels", "patch": 8}))
    plain = decode.run(job(store, tmp_path / "plain", steps=2))
    assert metrics["perceptual"] > 0
    assert metrics["loss"] > plain["loss"]
    assert "perceptual" not in plain


def test_a_perceptual_encoder_that_must_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decode\.perceptual: given kind 'contrastive'"):
        decode.read({"perceptual": {"kind": "contrastive"}}, "decode")


def test_trials_with_the_same_encoder_and_data_share_a_decoder() -> None:
    settings = decode.read(SETTINGS, "decode")
    other = UNTRAINED | WALL | FINE | {"train": {"epochs": 7}, "planner": {"kind": "gd"}, "env": WALL["env"]}
    keys = {decode.decoding(step, settings).key for step in (latents(), Experiment.parse(other).latents())}
    assert len(keys) == 1


def test_a_width_that_holds_no_whole_heads_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decode.width: given 50; input should be a multiple of 24"):
        decode.read({"width": 50}, "decode")
