"""What is sent to a cluster: the grid file, the source, no more than fits, and no code that nobody allowed."""

import sys
from pathlib import Path

import pytest

from worldgrid.parcel import pack
from worldgrid.spec import ConfigError

GRID = """
# Does it fit?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none}
  collect:   {episodes: 100, steps: 50, keep: 5, policy: {kind: uniform}}
  mpc:       {horizon: 2, execute: 1, steps: 10, context: 1}
"""
MINE = """
from worldgrid.planners import PlannerSpec

class Mine(PlannerSpec):
    @property
    def calls(self):
        return 1

    def plan(self, problem):
        raise NotImplementedError
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of somebody's own; importing it would be noticed."""
    folder = tmp_path / "somebodys_lab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "planners.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "somebodys_lab.planners:Mine"
    for name in [name for name in sys.modules if name.startswith("somebodys_lab")]:
        del sys.modules[name]


def test_a_grid_goes_with_the_source_of_its_checkout(file: Path) -> None:
    parcel = pack(file)
    assert parcel.source
    assert {"tiny.yaml", "platform/worldgrid/spec.py", "pyproject.toml"} <= set(parcel.files)
    assert not [name for name in parcel.files if "__pycache__" in name or name.startswith(("store/", ".git/"))]


def test_it_is_laid_out_as_it_was(file: Path, tmp_path: Path) -> None:
    pack(file).lay_out(tmp_path / "there")
    assert (tmp_path / "there" / "tiny.yaml").read_text() == GRID
    assert (tmp_path / "there" / "platform" / "worldgrid" / "parcel.py").exists()


def test_the_same_grid_is_the_same_submission_and_another_one_is_not(file: Path) -> None:
    first, again, other = pack(file), pack(file), pack(file, ["train.seed=1"])
    assert first.submission == again.submission
    assert first.submission.startswith("tiny-")
    assert other.submission != first.submission
    assert first.content == again.content


@pytest.mark.parametrize("place", ["base", "axis", "group", "override"])
def test_code_from_outside_wants_to_be_allowed_and_is_not_imported_before(file: Path, lab: str, place: str) -> None:
    text = {
        "base": f"  planner: {{kind: '{lab}'}}\n",
        "axis": f"axes:\n  planner:\n    - {{kind: cem}}\n    - {{kind: '{lab}'}}\n",
        "group": f"axes:\n  which:\n    mine: {{planner.kind: '{lab}'}}\n    cem: {{planner.kind: cem}}\n",
        "override": "",
    }[place]
    file.write_text(GRID + text)
    overrides = [f"planner.kind={lab}"] if place == "override" else []
    with pytest.raises(ConfigError, match=f"{lab}; --allow-code lets it"):
        pack(file, overrides)
    assert "somebodys_lab" not in sys.modules


def test_a_package_that_is_allowed_goes_along(file: Path, lab: str) -> None:
    file.write_text(GRID + f"  planner: {{kind: '{lab}'}}\n")
    files = pack(file, allow_code=True).files
    assert {"somebodys_lab/__init__.py", "somebodys_lab/planners.py"} <= set(files)


def test_what_is_too_large_is_refused_by_name(file: Path, lab: str) -> None:
    large = file.parent / "somebodys_lab" / "large.py"
    with large.open("wb") as holed:
        holed.truncate(101 * 2**20)
    file.write_text(GRID + f"  planner: {{kind: '{lab}'}}\n")
    with pytest.raises(ConfigError, match=r"at most 100.0 MiB fits. The largest: somebodys_lab/large.py \(101.0 MiB\)"):
        pack(file, allow_code=True)


def test_a_package_that_is_nowhere_is_one_line(file: Path) -> None:
    file.write_text(GRID + "  planner: {kind: 'nobodys_lab:Mine'}\n")
    with pytest.raises(ConfigError, match="nobodys_lab"):
        pack(file, allow_code=True)


def test_the_files_that_a_grid_extends_lie_to_it_there_as_here(file: Path) -> None:
    (file.parent / "inner").mkdir()
    above = file.parent / "inner" / "above.yaml"
    above.write_text("extends: ../tiny.yaml\n")
    parcel = pack(above)
    assert parcel.file == "inner/above.yaml"
    assert parcel.files["tiny.yaml"] == file.resolve()


def test_code_from_outside_in_a_file_that_is_extended_needs_to_be_allowed(file: Path) -> None:
    file.write_text(GRID + '  planner: {kind: "somebodys_lab.planners:Mine"}\n')
    above = file.parent / "above.yaml"
    above.write_text("extends: tiny.yaml\n")
    with pytest.raises(ConfigError, match=r"from outside worldgrid: somebodys_lab\.planners:Mine"):
        pack(above)
