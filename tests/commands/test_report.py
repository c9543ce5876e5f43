"""`worldgrid report` of several grids."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.synthetic import NAME, MadeUp
from worldgrid.cli import app
from worldgrid.spec import ConfigError

REFERENCE = Path(__file__).parents[2] / "experiments" / "paper" / "reference.csv"


def test_every_finding_is_told_and_the_page_is_named(made: MadeUp) -> None:
    done = CliRunner().invoke(app, ["report", NAME, "--reference", str(REFERENCE), "--store", str(made.store.root)])
    assert done.exit_code == 0, done.output
    assert done.output.count("not measured") == 12
    assert Path(done.output.splitlines()[-1]).name == "study.html"


def test_a_folder_is_the_grids_its_files_name(made: MadeUp, tmp_path: Path) -> None:
    (tmp_path / "any.yaml").write_text(f"name: {NAME}\nbase: {{}}\n")
    words = ["report", str(tmp_path), "--reference", str(REFERENCE), "--store", str(made.store.root)]
    done = CliRunner().invoke(app, words)
    assert done.output.splitlines()[-1].endswith(f"{tmp_path.name}/study.html")
    shutil.rmtree(made.store.root / "reports" / tmp_path.name)


def test_only_one_grid_is_set_against_another(made: MadeUp) -> None:
    words = ["report", NAME, NAME, "--against", NAME, "--store", str(made.store.root)]
    with pytest.raises(ConfigError, match="one grid, not 2, fits with it"):
        CliRunner().invoke(app, words, catch_exceptions=False)
