"""What is wrong with planning is said in one line that names trial and field, from the grid file to the terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import EXACT, exact_evaluation
from worldgrid.grid import make_grid
from worldgrid.spec import JSON, ConfigError
from worldgrid.store import Store

BROKEN = [3e38, 3e38]
"""Five of these are more than a float32 holds: wherever an action leads, the position is infinite."""


@pytest.mark.parametrize(
    ("section", "wrong", "line"),
    [
        ("planner", {"kind": "cem", "samples": 5}, "there are 10 elites of 5 samples"),
        ("planner", {"kind": "mppi", "samples": 5}, "there are 64 elites of 5 samples"),
        ("planner", {"kind": "icem", "samples": 5}, "there are 10 elites of 5 samples"),
        ("planner", {"kind": "cem", "spread": -1.0}, "planner.spread: given -1.0; input should be greater than 0"),
        (
            "planner",
            {"kind": "gd", "noise": -1.0},
            "planner.noise: given -1.0; input should be greater than or",
        ),
        (
            "planner",
            {"kind": "nevergrad", "optimiser": "NGOtp"},
            "planner.optimiser: given 'NGOtp'; a name in",
        ),
        ("mpc", {"horizon": 0}, "mpc.horizon: given 0; input should be greater than or equal to 1"),
        ("mpc", {"horizon": 2, "execute": 3}, "execute <= horizon fits; execute is 3, horizon 2"),
        ("objective", {"norm": "l3"}, "objective.norm: given 'l3'"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_trial_and_field(section: str, wrong: JSON, line: str) -> None:
    axes = {"variant": {"sound": {}, "wrong": {section: wrong}}}
    if wrong.get("kind") == "nevergrad":
        pytest.importorskip("nevergrad")
    with pytest.raises(ConfigError) as error:
        make_grid(json.dumps({"base": EXACT, "axes": axes}), "grid", "grid.yaml")
    assert str(error.value).startswith(f"{section}")
    assert line in str(error.value)
    assert str(error.value).endswith("(trial variant=wrong)")
    assert "\n" not in str(error.value)


@pytest.mark.ray
@pytest.mark.slow
def test_a_broken_predictor_is_one_error_that_names_trial_step_and_section(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    broken = {"predictor": EXACT["predictor"] | {"action_mean": BROKEN}}
    sound, failing = exact_evaluation(store), exact_evaluation(store, **broken)
    axes = {"predictor.action_mean": {"sound": {}, "broken": {"predictor.action_mean": BROKEN}}}
    (tmp_path / "grid.yaml").write_text(json.dumps({"base": EXACT, "axes": axes}))
    words = [sys.executable, "-m", "worldgrid.cli", "run", str(tmp_path / "grid.yaml"), "--store", str(store.root)]
    ran = subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=300, env=os.environ | {"COLUMNS": "200"}
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (said,) = [line for line in ran.stdout.splitlines() if line.startswith("failed: ")]
    assert said.startswith(f"failed: {failing.key}: worldgrid.planners.PlanningError: predictor: episode ")
    assert said.endswith(", plan 0, iteration 0: none of 32 candidates has a finite cost")
    assert "needed by predictor.action_mean=broken of 2 trials" in ran.stdout
    assert store.done(sound.key) is not None, "the other trial is not held up"
    assert store.done(failing.key) is None
