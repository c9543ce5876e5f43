"""A grid file on top of those it extends, and its variants."""

from pathlib import Path

import pytest

from worldgrid.grid import Grid, read_grid
from worldgrid.spec import ConfigError

BASE = """# What all of them share
name: below
base:
  env: {kind: point}
  encoder: {kind: state}
  predictor: {kind: transformer, width: 16, depth: 1, heads: 2, context: 2, proprio: none}
  train: {epochs: 4, batch: 8}
axes:
  data: {few: {collect.episodes: 50}, many: {collect.episodes: 100}}
  train.seed: [0, 1]
scale: {trials: 2}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in ({"base": BASE} | files).items():
        (folder / f"{name}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)


def read(folder: Path, text: str, *overrides: str, **files: str) -> Grid:
    """The grid of a file that lies beside BASE."""
    write(folder, made=text, **files)
    return read_grid(folder / "made.yaml", overrides)


def refused(folder: Path, text: str, *overrides: str, **files: str) -> str:
    with pytest.raises(ConfigError) as error:
        read(folder, text, *overrides, **files)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_has_the_settings_the_axes_and_the_scale_of_the_one_it_extends(tmp_path: Path) -> None:
    grid = read(tmp_path, "extends: base.yaml")
    assert len(grid.trials) == 4
    assert grid.trials[0].experiment.train.epochs == 4
    assert grid.scale.trials == 2


def test_what_stands_in_the_file_replaces_what_it_names_below(tmp_path: Path) -> None:
    grid = read(tmp_path, "extends: base.yaml\nbase: {train.epochs: 7}\naxes: {train.seed: [5]}\nscale: {trials: 9}")
    assert {(one.experiment.train.epochs, one.experiment.train.batch) for one in grid.trials} == {(7, 8)}
    assert {one.experiment.train.seed for one in grid.trials} == {5}
    assert grid.scale.trials == 9


def test_a_whole_section_replaces_the_single_settings_below_it(tmp_path: Path) -> None:
    between = "extends: base.yaml\nbase: {train.lr: 1e-3}"
    grid = read(tmp_path, "extends: between.yaml\nbase: {train: {batch: 8}}", between=between)
    assert {(one.experiment.train.lr, one.experiment.train.epochs) for one in grid.trials} == {(5e-4, 50)}


def test_labels_of_an_axis_add_up_and_so_do_their_settings(tmp_path: Path) -> None:
    text = "extends: base.yaml\naxes: {data: {many: {train.epochs: 9}, most: {collect.episodes: 200}}}"
    grid = read(tmp_path, text, "train.seed=0")
    found = [(one.labels["data"], one.experiment.collect.episodes, one.experiment.train.epochs) for one in grid.trials]
    assert found == [("few", 50, 4), ("many", 100, 9), ("most", 200, 4)]


def test_a_file_keeps_its_own_name_and_question_and_carries_all_texts(tmp_path: Path) -> None:
    grid = read(tmp_path, "# Which?\nextends: base.yaml")
    assert (grid.name, grid.question) == ("made", "Which?")
    assert "What all of them share" in grid.source


def test_a_file_in_another_folder_is_named_from_where_the_file_lies(tmp_path: Path) -> None:
    write(tmp_path, **{"inner/made": "extends: ../base.yaml"})
    assert len(read_grid(tmp_path / "inner" / "made.yaml").trials) == 4


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "extends: other.yaml", other="extends: made.yaml")
    assert "other.yaml: extends: given 'made.yaml', which extends this file" in said


def test_more_than_five_files_on_top_of_each_other_are_refused(tmp_path: Path) -> None:
    files = {f"a{number}": f"extends: a{number + 1}.yaml" for number in range(4)} | {"a4": "extends: base.yaml"}
    assert "at most 5 files" in refused(tmp_path, "extends: a0.yaml", **files)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "no.yaml: cannot be read" in refused(tmp_path, "extends: no.yaml")


VARIED = """extends: base.yaml
variants:
  slow: {base: {train.epochs: 8}}
  fast: {base: {train.epochs: 1}, axes: {data: {few: {train.batch: 4}}}}
variant: slow
"""


def test_the_variant_that_the_file_names_lies_on_top(tmp_path: Path) -> None:
    assert {one.experiment.train.epochs for one in read(tmp_path, VARIED).trials} == {8}


def test_the_command_line_chooses_another_variant(tmp_path: Path) -> None:
    grid = read(tmp_path, VARIED, "variant=fast", "train.seed=0")
    assert [(one.experiment.train.epochs, one.experiment.train.batch) for one in grid.trials] == [(1, 4), (1, 8)]


def test_variants_of_both_files_are_one_variant(tmp_path: Path) -> None:
    above = "extends: between.yaml\nvariants: {fast: {base: {train.lr: 1e-3}}}"
    grid = read(tmp_path, above, "variant=fast", between=VARIED)
    assert {(one.experiment.train.epochs, one.experiment.train.lr) for one in grid.trials} == {(1, 1e-3)}


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        (VARIED, ("variant=fats",), "variant: given 'fats'; did you mean 'fast'?"),
        (VARIED.replace("variant: slow\n", ""), (), "variant: missing; there are fast, slow"),
        ("extends: base.yaml", ("variant=fast",), "variant: given 'fast'; this grid has no variants"),
        ("extends: base.yaml\nvariants: {fast: {bas: {}}}", (), "variants.fast: unknown section 'bas'; did you mean"),
        ("extends: base.yaml\nvariants: {fast: {name: x}}", (), "variants.fast: unknown section 'name'"),
        ("extends: base.yaml\nvariants: [fast]", (), "variants: given ['fast']; a section (name: value) fits"),
        ("extends: [base.yaml]", (), "extends: given ['base.yaml']; a grid file, relative to this one, fits"),
        ("axes: {}", (), "a grid file has a section 'base'"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(tmp_path: Path, text: str, overrides: tuple[str], said: str) -> None:
    assert said in refused(tmp_path, text, *overrides)
