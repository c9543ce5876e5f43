"""Several grids as one question."""

from pathlib import Path

import pytest

from worldgrid.series import grid_names, read_series
from worldgrid.spec import ConfigError

GRID = """# {question}
base:
  env: {{kind: point}}
  encoder: {{kind: state}}
  predictor: {{kind: transformer, width: 16, depth: 1, heads: 2, context: 2, proprio: none}}
  train: {{epochs: 4, batch: 8}}
axes: {{train.seed: {seeds}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.yaml").write_text(GRID.format(question="Second?", seeds=[1, 2]))
    (tmp_path / "a.yaml").write_text(GRID.format(question="First?", seeds=[0, 1]))
    (tmp_path / "note.txt").write_text("no grid")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.yaml").write_text("not: a grid")
    return tmp_path


def test_a_folder_is_the_grids_right_inside_it_by_name(folder: Path) -> None:
    series = read_series(folder)
    assert [grid.name for grid in series.grids] == ["a", "b"] == grid_names(folder)
    assert series.name == folder.name


def test_steps_and_trials_that_grids_share_are_counted_once(folder: Path) -> None:
    whole = read_series(folder).whole
    assert [trial.experiment.train.seed for trial in whole.trials] == [0, 1, 2]
    assert sum(step.stage == "train" for step in whole.steps()) == 3


def test_words_name_more_files_or_override_all_of_them(folder: Path) -> None:
    series = read_series(folder / "a.yaml", [str(folder / "b.yaml"), "train.epochs=7"])
    assert series.name == "a+b"
    assert {trial.experiment.train.epochs for trial in series.whole.trials} == {7}


def test_two_grids_of_one_name_are_refused(folder: Path) -> None:
    (folder / "b.yaml").write_text("name: a\n" + GRID.format(question="?", seeds=[3]))
    with pytest.raises(ConfigError, match=r"is called 'a' as .*a\.yaml is"):
        read_series(folder)


def test_a_search_is_run_by_itself(folder: Path) -> None:
    search = "search: {trials: 2, spaces: {train.lr: {loguniform: [1e-4, 1e-2]}}}\n"
    (folder / "b.yaml").write_text(search + GRID.format(question="?", seeds=[3]))
    assert len(read_series(folder / "b.yaml").grids) == 1
    with pytest.raises(ConfigError, match="a search decides as it goes"):
        read_series(folder)


def test_a_folder_without_grids_is_refused(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match="a grid file, or a folder with some"):
        read_series(folder / "empty")


def test_a_word_that_is_neither_is_one_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_series(folder / "a.yaml", ["train.epochs"])
