"""`worldgrid show` of several grids."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from worldgrid.cli import app
from worldgrid.reference import COLUMNS

GRID = """# {question}
base:
  env: {{kind: point}}
  encoder: {{kind: state}}
  predictor: {{kind: transformer, width: 16, depth: 1, heads: 2, context: 2, proprio: none}}
  train: {{epochs: 4, batch: 8}}
axes: {{train.seed: {seeds}}}
"""
HOURS = "gpu_hours,all,12 trainings,,,300,,H100-hours,a guess"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "first.yaml").write_text(GRID.format(question="First?", seeds=[0, 1]))
    (tmp_path / "second.yaml").write_text(GRID.format(question="Second?", seeds=[1, 2]))
    (tmp_path / "reference.csv").write_text(f"{','.join(COLUMNS)}\n{HOURS}\n")
    return tmp_path


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, ["show", *words], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_folder_is_a_line_for_each_grid_and_its_distinct_steps(folder: Path) -> None:
    said = shown(str(folder), "--store", str(folder / "store"))
    assert "Second?" in said
    assert "3 trials" in said
    assert not (folder / "store").exists()


def test_the_price_of_a_folder_stands_beside_what_others_paid(folder: Path) -> None:
    said = shown(str(folder), "--price", "--rate", "1e12", "--store", str(folder / "store"))
    assert "elsewhere: 300 H100-hours for 12 trainings (a guess)" in said
