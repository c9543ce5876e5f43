"""Which trials of a grid are adjusted, or left out."""

import pytest
import yaml

from worldgrid.grid import Grid, make_grid
from worldgrid.spec import ConfigError

BASE = {
    "env": {"kind": "point"},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 2, "proprio": "none"},
    "train": {"epochs": 4, "batch": 8},
}
SHAPE = "{for: {axis: label}, set: {setting: value}} fits"
AXES = {
    "size": {"small": {"predictor.depth": 1}, "middle": {"predictor.depth": 2}, "large": {"predictor.depth": 3}},
    "planner": [{"kind": "cem"}, {"kind": "gd"}],
}


def made(*overrides: str, **top: object) -> Grid:
    text = yaml.safe_dump({"base": BASE, "axes": AXES} | top, sort_keys=False)
    return make_grid(text, "made", "made.yaml", overrides)


def epochs(grid: Grid) -> dict[str, int]:
    return {f"{one.labels['size']} {one.labels['planner']}": one.experiment.train.epochs for one in grid.trials}


def test_an_adjustment_reaches_the_trials_it_is_for() -> None:
    grid = made(adjust=[{"for": {"size": "large", "planner": "gd"}, "set": {"train.epochs": 9}}])
    assert {name for name, count in epochs(grid).items() if count == 9} == {"large gd"}


def test_an_adjustment_is_for_any_label_of_a_list_and_for_values_of_settings() -> None:
    rule = {"for": {"size": ["small", "large"], "planner.kind": "cem"}, "set": {"train.epochs": 9}}
    assert {name for name, count in epochs(made(adjust=[rule])).items() if count == 9} == {"small cem", "large cem"}


def test_an_adjustment_for_nobody_in_particular_is_for_all() -> None:
    assert set(epochs(made(adjust=[{"set": {"train.epochs": 9}}])).values()) == {9}


def test_the_last_adjustment_holds_and_the_command_line_above_it() -> None:
    rules = [{"set": {"train.epochs": 9}}, {"for": {"size": "small"}, "set": {"train.epochs": 5}}]
    assert epochs(made(adjust=rules))["small cem"] == 5
    assert set(epochs(made("train.epochs=2", adjust=rules)).values()) == {2}


def test_an_exclusion_takes_a_list_of_labels() -> None:
    grid = made(exclude=[{"size": ["small", "middle"], "planner": "gd"}])
    assert set(epochs(grid)) == {"small cem", "middle cem", "large cem", "large gd"}


def test_an_override_that_names_labels_of_an_axis_keeps_these() -> None:
    assert set(epochs(made("size=small,large", "planner=gd"))) == {"small gd", "large gd"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"for": {"size": "small"}}, SHAPE),
        ({"set": 3}, SHAPE),
        ({"for": {"sise": "small"}, "set": {}}, "adjust: 'sise' names no section of a trial"),
        ({"set": {"trian.lr": 1}}, "adjust: 'trian.lr' names no section of a trial; did you mean 'train'?"),
        ({"set": {}, "when": {}}, SHAPE),
    ],
)
def test_an_adjustment_that_does_not_fit_is_one_line(rule: dict, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(adjust=[rule])
    assert said.replace(SHAPE, "{for: {axis: label}, set: {setting: value}} fits") in str(error.value)
