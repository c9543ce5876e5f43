"""The command `overfit`: whether a grid's first predictor can learn ten batches by heart."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from worldgrid.cli import app
from worldgrid.commands.overfit import first_shard
from worldgrid.envs import ENVS
from worldgrid.spec import ConfigError
from worldgrid.stages.collect import read, record
from worldgrid.trajectories import Trajectories, shard_name, write_manifest

BASE: dict[str, Any] = {
    "env": {"kind": "point", "size": 16},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 32, "depth": 1, "heads": 2, "context": 1, "proprio": "none"},
    "collect": {"episodes": 200, "steps": 20, "keep": 5},
    "train": {"batch": 8, "lr": 1e-2, "rollout": 1},
    "mpc": {"context": 1},
}


def overfitted(folder: Path, *words: str, **changes: Any) -> Result:
    file = folder / "tiny.yaml"
    file.write_text(f"# Can it learn?\nbase: {json.dumps(BASE | changes)}\naxes: {{evaluate.seed: [0, 1]}}\n")
    return CliRunner().invoke(app, ["overfit", str(file), *words, "--store", str(folder / "store")])


def losses(said: Result) -> dict[int, float]:
    """Step -> loss of the printed curve."""
    lines = [line.split() for line in said.stdout.splitlines()[1:] if line.endswith("%")]
    return {int(step): float(loss) for step, loss, _ in lines}


def test_a_predictor_that_can_learn_gets_below_one_percent_and_stops_there(tmp_path: Path) -> None:
    said = overfitted(tmp_path, "--steps", "3000")
    assert said.exit_code == 0, said.output
    curve = losses(said)
    steps = list(curve)
    assert steps[:4] == [0, 10, 20, 40]
    assert curve[steps[-1]] < 0.01 * curve[0]
    assert steps[-1] < 3000
    assert not (tmp_path / "store").exists()


def test_one_that_gets_no_time_fails_with_exit_code_1(tmp_path: Path) -> None:
    said = overfitted(tmp_path, "train.lr=1e-5", "--steps", "20")
    assert said.exit_code == 1
    assert list(losses(said)) == [0, 10, 20]
    assert "the loss did not fall below 1% of its start in 20 steps" in said.stdout


def test_an_encoder_that_learns_here_need_not_have_learned(tmp_path: Path) -> None:
    said = overfitted(
        tmp_path, "--steps", "10", encoder={"kind": "contrastive", "channels": [4, 8], "blocks": 0, "latent": 8}
    )
    assert said.exit_code == 1
    assert list(losses(said)) == [0, 10]


def test_of_recorded_data_the_first_shard_is_enough(tmp_path: Path) -> None:
    env = ENVS.parse({"kind": "point", "size": 16})
    collect = read({"episodes": 6, "steps": 10, "keep": 5, "shard": 3}, "collect")
    for name in ("all", "first"):
        (tmp_path / name).mkdir()
    for shard in range(2):
        record(env, collect, shard, tmp_path / "all" / shard_name(shard))
    write_manifest(tmp_path / "all", shards=2, keep=5, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    first_shard(Trajectories(tmp_path / "all"), tmp_path / "first")
    there = Trajectories(tmp_path / "first")
    assert [trajectory.episode for shard in there for trajectory in shard] == [0, 1, 2]


def test_an_imported_predictor_has_nothing_to_learn(tmp_path: Path) -> None:
    section = {"kind": "imported", "name": "checkpoint-0123456789ab", "context": 1, "proprio": False, "epoch": 3}
    said = overfitted(tmp_path, predictor=section)
    assert isinstance(said.exception, ConfigError)
    assert "imported is not trained here" in str(said.exception)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_it_is_the_same_every_time(tmp_path: Path, ema: float | None) -> None:
    first, second = (overfitted(tmp_path, "--steps", "20", train=BASE["train"] | {"ema": ema}) for _ in range(2))
    assert first.stdout == second.stdout
