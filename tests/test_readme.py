"""What the README shows works as it stands there."""

import re
import sys
from pathlib import Path

import pytest
import torch

from worldgrid.grid import make_grid
from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Problem

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found
    return found[1]


def test_the_grid_file_is_read(tmp_path: Path) -> None:
    grid = make_grid(block("yaml"), "readme", "README.md")
    assert len(grid.trials) == 3 * (2 + 1)
    assert grid.question.endswith("?")


def test_the_planner_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "planners.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    planner = PLANNERS.parse({"kind": "my_lab.planners:Shooting", "samples": 500})
    bowl = Problem(
        lambda actions: actions.square().flatten(2).sum(dim=2), horizon=1, action=2, noise=Noise(0, [0, 1], 0)
    )
    plan = planner.plan(bowl)
    assert plan.calls == planner.calls == 500
    assert plan.actions.shape == (2, 1, 2)
    assert torch.all(plan.actions.abs() < 0.5)
    sys.modules.pop("my_lab.planners", None)


def test_every_command_of_the_readme_is_one_of_ours() -> None:
    from worldgrid.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups}
    used = set(re.findall(r"\.venv/bin/worldgrid (\w+)", README))
    assert used
    assert used <= known
