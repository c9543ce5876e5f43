"""Where a plan's time goes: every part is there, and what is counted is what a plan needs."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from worldgrid.cli import app
from worldgrid.experiment import Experiment
from worldgrid.profiling import profile
from worldgrid.spec import ConfigError

SETTINGS: dict = {
    "env": {"kind": "wall", "size": 64},
    "encoder": {"kind": "pixels"},
    "predictor": {"kind": "transformer", "width": 24, "depth": 1, "heads": 2, "context": 2, "proprio": "none"},
    "mpc": {"horizon": 3, "execute": 2, "steps": 30, "context": 2},
    "evaluate": {"episodes": 3, "batch": 2},
}
PLANNERS = {
    "cem": {"kind": "cem", "samples": 6, "iterations": 2, "elites": 2},
    "gd": {"kind": "gd", "starts": 2, "iterations": 3},
}


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_profile_counts_what_a_plan_needs(kind: str) -> None:
    experiment = Experiment.parse(SETTINGS | {"planner": PLANNERS[kind]})
    found = profile(experiment, torch.device("cpu"))
    assert found.calls == 2 * experiment.planner.calls
    assert list(found.seconds) == ["encode", "rollout", "cost", "planner", "simulator"]
    assert min(found.seconds.values()) > 0
    assert found.block == (2, 6 if kind == "cem" else 2)
    assert found.flops > 0


def test_a_gradient_step_takes_more_than_a_candidate() -> None:
    sampled, sloped = (
        profile(Experiment.parse(SETTINGS | {"planner": PLANNERS[kind]}), torch.device("cpu")) for kind in PLANNERS
    )
    assert sloped.flops / sloped.calls > 1.5 * sampled.flops / sampled.calls


def test_futures_in_bfloat16_take_the_same_flops() -> None:
    settings = SETTINGS | {"planner": PLANNERS["cem"]}
    rough = settings | {"mpc": SETTINGS["mpc"] | {"precision": "bfloat16"}}
    one, other = (profile(Experiment.parse(chosen), torch.device("cpu")) for chosen in (settings, rough))
    assert one.flops == other.flops
    assert other.matmul > 0


def test_an_imported_predictor_is_refused() -> None:
    predictor = {"kind": "imported", "name": "checkpoint-0123456789ab", "context": 2, "proprio": False, "epoch": 1}
    with pytest.raises(ConfigError, match="predictor: given an imported one"):
        profile(Experiment.parse(SETTINGS | {"predictor": predictor}), torch.device("cpu"))


def test_the_command_prints_a_table_for_every_planner(tmp_path: Path) -> None:
    grid = {"base": SETTINGS, "axes": {"planner": list(PLANNERS.values())}}
    (tmp_path / "grid.yaml").write_text(json.dumps(grid))
    printed = CliRunner().invoke(app, ["profile", str(tmp_path / "grid.yaml")], env={"COLUMNS": "200"})
    assert printed.exit_code == 0, printed.output
    assert printed.output.index("cem, 2 episodes") < printed.output.index("gd, 2 episodes")
    assert "model calls per second on cpu" in printed.output
