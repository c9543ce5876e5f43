"""Making an encoder from recorded frames."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from worldgrid.encoders import ENCODERS, WEIGHTS
from worldgrid.envs import ENVS
from worldgrid.resume import RESUME
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError, parse
from worldgrid.stages import Job
from worldgrid.stages.collect import read, record
from worldgrid.stages.pretrain import Pairs, Pretrain, run
from worldgrid.step import Step
from worldgrid.trajectories import Trajectories, Trajectory, shard_name, write_manifest, write_shard

ENV = {"kind": "wall", "size": 16}
ENCODER = {"kind": "contrastive", "channels": [8, 16], "blocks": 1, "latent": 4}


def recorded(folder: Path, keep: int = 5, steps: int = 30) -> Path:
    collect = read({"episodes": 20, "steps": steps, "keep": keep, "policy": {"kind": "drift"}, "shard": 10}, "collect")
    for shard in range(2):
        record(ENVS.parse(ENV), collect, shard, folder / shard_name(shard))
    write_manifest(folder, shards=2, keep=keep, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    return folder


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("trajectories"))


def pretrained(trajectories: Path, out: Path, **settings: Any) -> JSON:
    pretrain = parse(Pretrain, {"steps": 30, "batch": 16} | settings, "pretrain").recipe()
    out.mkdir(exist_ok=True)
    return run(
        Job(
            Step("pretrain", 1, {"env": ENV, "encoder": ENCODER, "pretrain": pretrain}), _in(trajectories), out, Scale()
        )
    )


def _in(trajectories: Path) -> dict[str, Path]:
    return {"trajectories": trajectories}


def curve(out: Path) -> list[JSON]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_the_loss_falls_far_below_guessing(trajectories: Path, tmp_path: Path) -> None:
    metrics = pretrained(trajectories, tmp_path, steps=100, lr=3e-3)
    losses = [line["loss"] for line in curve(tmp_path)]
    assert losses[-1] < 0.75 * np.log(16) < losses[0] * 1.5
    assert metrics["loss"] == losses[-1]


def test_metrics_say_that_features_have_not_collapsed(trajectories: Path, tmp_path: Path) -> None:
    metrics = pretrained(trajectories, tmp_path)
    assert 1.0 < metrics["effective_rank"] <= 4 * 4
    assert metrics["spread"] > 0


def test_the_curve_has_a_line_every_ten_steps_and_one_at_the_end(trajectories: Path, tmp_path: Path) -> None:
    pretrained(trajectories, tmp_path, steps=25)
    assert [line["step"] for line in curve(tmp_path)] == [10, 20, 25]
    assert all(line.keys() == {"step", "loss", "lr"} for line in curve(tmp_path))


def test_the_folder_holds_a_frozen_encoder_to_build(trajectories: Path, tmp_path: Path) -> None:
    pretrained(trajectories, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, "metrics.jsonl"}
    env = ENVS.parse(ENV)
    encoder = ENCODERS.parse(ENCODER).build(env, tmp_path)
    assert not any(weight.requires_grad for weight in encoder.parameters())
    tokens = encoder(torch.from_numpy(env.render(env.tasks([0, 1]).state())))
    assert not torch.equal(tokens[0], tokens[1])


def test_a_seed_names_the_weights_to_the_bit(trajectories: Path, tmp_path: Path) -> None:
    for name, seed, threads in (("one", 0, 1), ("again", 0, 2), ("other", 1, 1)):
        torch.rand(3)  # torch's random state and threads are nothing to it
        torch.set_num_threads(threads)
        pretrained(trajectories, tmp_path / name, seed=seed)
    one, again, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "again", "other"))
    assert one == again
    assert one != other


@contextmanager
def interrupted_when_there(path: Path) -> Iterator[None]:
    """Ctrl-C at whatever is being done soon after a file has appeared."""

    def look(number: int, frame: FrameType | None) -> None:
        if path.exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_interrupted_and_resumed_is_uninterrupted_to_the_bit(trajectories: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    metrics = pretrained(trajectories, whole, steps=150)
    with interrupted_when_there(parts / RESUME):
        pretrained(trajectories, parts, steps=150)
    assert not (parts / WEIGHTS).exists()
    assert pretrained(trajectories, parts, steps=150) == metrics
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert curve(parts) == curve(whole)


def numbered(folder: Path, lengths: list[int], keep: int) -> Trajectories:
    """Frames whose first two pixels say of which trajectory and simulator step they are."""
    written = []
    for episode, length in enumerate(lengths):
        frames = np.zeros((length, 2, 2, 3), np.uint8)
        frames[:, 0, 0, 0], frames[:, 0, 0, 1] = episode, np.arange(length) * keep
        controls = (
            np.zeros((length, 1), np.float32),
            np.zeros((length, 1)),
            np.zeros(((length - 1) * keep, 1), np.float32),
        )
        written.append(Trajectory(episode, frames, *controls))
    write_shard(folder / shard_name(0), written)
    write_manifest(folder, shards=1, keep=keep, size=2, dims={"action": 1, "proprio": 1, "state": 1})
    return Trajectories(folder)


def drawn(pairs: Pairs, steps: int = 50) -> list[tuple[int, int, int, int]]:
    """Trajectory and simulator step of anchors and positives."""
    draws = [pairs.draw(step) for step in range(steps)]
    return [(*a[0, 0, :2].tolist(), *p[0, 0, :2].tolist()) for draw in draws for a, p in zip(*draw, strict=True)]


def test_pairs_are_frames_of_one_trajectory_1_to_reach_model_steps_apart(tmp_path: Path) -> None:
    found = drawn(Pairs(numbered(tmp_path, [9, 1, 3, 7], keep=2), 4, Pretrain(batch=3, reach=2)))
    assert all(one == other for one, _, other, _ in found)
    assert {one for one, *_ in found} == {0, 2, 3}  # trajectory 1 has no pair
    assert {after - before for _, before, _, after in found} == {4, 8}
    assert {(before, after) for one, before, _, after in found if one == 2} == {(0, 4)}


def test_the_pairs_of_a_step_are_of_different_trajectories(tmp_path: Path) -> None:
    pairs = Pairs(numbered(tmp_path, [5, 5, 5, 5], keep=1), 1, Pretrain(batch=4))
    assert all(set(pairs.draw(step)[0][:, 0, 0, 0].tolist()) == {0, 1, 2, 3} for step in range(9))


def test_how_densely_it_was_recorded_changes_nothing(tmp_path: Path) -> None:
    dense, sparse = tmp_path / "dense", tmp_path / "sparse"
    for folder, keep in ((dense, 1), (sparse, 5)):
        folder.mkdir()
        pretrained(recorded(folder, keep=keep), folder / "out", steps=3)
    assert (dense / "out" / WEIGHTS).read_bytes() == (sparse / "out" / WEIGHTS).read_bytes()


def test_trajectories_too_short_for_a_pair_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"collect.steps: no trajectory .* 5 and more fit") as error:
        pretrained(recorded(tmp_path, keep=1, steps=4), tmp_path / "out")
    assert "\n" not in str(error.value)
