"""A grid file becomes trials."""

from pathlib import Path

import pytest
import yaml

from worldgrid.grid import Grid, make_grid, read_grid
from worldgrid.spec import ConfigError

BASE = {
    "env": {"kind": "point"},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 2, "proprio": "none"},
    "train": {"epochs": 4, "batch": 8},
}
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def made(*overrides: str, base: dict | None = None, **top: object) -> Grid:
    text = yaml.safe_dump({"base": BASE | (base or {}), **top}, sort_keys=False)
    return make_grid(text, "made", "made.yaml", overrides)


def names(grid: Grid) -> list[str]:
    return [trial.name for trial in grid.trials]


def test_a_grid_without_axes_is_one_trial() -> None:
    assert len(made().trials) == 1


def test_axes_make_every_combination_in_the_order_of_the_file() -> None:
    grid = made(axes={"train.lr": [1e-3, 1e-4], "train.seed": [0, 1]})
    assert names(grid) == [f"train.lr={lr},train.seed={seed}" for lr in ("0.001", "0.0001") for seed in (0, 1)]
    assert [trial.experiment.train.lr for trial in grid.trials] == [1e-3, 1e-3, 1e-4, 1e-4]


def test_a_list_of_sections_replaces_the_section_and_is_called_by_its_kind() -> None:
    grid = made(
        base={"planner": {"kind": "cem", "samples": 7, "elites": 2}},
        axes={"planner": [{"kind": "cem"}, {"kind": "gd"}]},
    )
    assert names(grid) == ["planner=cem", "planner=gd"]
    assert grid.trials[0].experiment.settings()["planner"]["samples"] == 300


def test_sections_of_one_kind_are_called_by_what_differs() -> None:
    grid = made(axes={"planner": [{"kind": "cem", "samples": 100}, {"kind": "cem", "samples": 200}]})
    assert names(grid) == ["planner=cem(samples=100)", "planner=cem(samples=200)"]


def test_a_label_moves_settings_together() -> None:
    grid = made(
        axes={"size": {"small": {"predictor.width": 16}, "large": {"predictor.width": 32, "predictor.depth": 2}}}
    )
    assert names(grid) == ["size=small", "size=large"]
    assert grid.trials[1].experiment.settings()["predictor"]["depth"] == 2


def test_an_excluded_combination_is_left_out() -> None:
    axes = {
        "size": {"small": {"predictor.depth": 1}, "large": {"predictor.depth": 2}},
        "planner": [{"kind": "cem"}, {"kind": "gd"}],
    }
    grid = made(axes=axes, exclude=[{"size": "large", "planner.kind": "gd"}])
    assert names(grid) == ["size=small,planner=cem", "size=small,planner=gd", "size=large,planner=cem"]


def test_the_baseline_leaves_the_axes_it_does_not_name_open() -> None:
    axes = {"planner": [{"kind": "cem"}, {"kind": "gd"}], "train.seed": [0, 1]}
    assert dict(made(axes=axes, baseline={"planner.kind": "gd"}).baseline) == {"planner": "gd"}


def test_planner_axes_share_every_step_before_the_evaluation() -> None:
    grid = made(axes={"planner": [{"kind": "cem"}, {"kind": "gd"}], "train.seed": [0, 1]})
    stages = [step.stage for step in grid.steps()]
    assert {stage: stages.count(stage) for stage in stages} == {
        "collect": 1,
        "encode": 1,
        "train": 2,
        "tasks": 1,
        "evaluate": 4,
    }


def test_scale_is_in_no_key() -> None:
    one, other = made(scale={"train": {"workers": 1}}), made(scale={"train": {"workers": 4}, "trials": 9})
    assert one.trials[0].key == other.trials[0].key


def test_an_override_holds_for_every_trial_and_several_values_make_an_axis() -> None:
    grid = made("train.lr=1e-3", "train.seed=0,1,2", axes={"planner": [{"kind": "cem"}, {"kind": "gd"}]})
    assert len(grid.trials) == 6
    assert {trial.experiment.train.lr for trial in grid.trials} == {1e-3}


def test_an_override_of_an_axis_replaces_its_values() -> None:
    assert names(made("train.seed=5", axes={"train.seed": [0, 1]})) == ["train.seed=5"]


def test_an_override_reaches_into_scale() -> None:
    assert made("scale.evaluate.workers=[1, 3]").scale.evaluate.workers == (1, 3)


def test_the_question_is_the_first_comment() -> None:
    text = "# experiments/x.yaml\n# Which\n# one?\nbase: {env: {kind: point}, encoder: {kind: state}}\n# no\n"
    assert make_grid(text, "x", "x.yaml", ["collect.steps=50"]).question == "Which one?"


def test_numbers_on_and_off_mean_what_they_look_like() -> None:
    text = (
        "base: {env: {kind: point}, encoder: {kind: state}, train: {lr: 5e-4}}\n"
        "axes: {p: {on: {train.seed: 1}, off: {train.seed: 2}}}"
    )
    grid = make_grid(text, "x", "x.yaml")
    assert names(grid) == ["p=on", "p=off"]
    assert grid.trials[0].experiment.train.lr == 5e-4


@pytest.mark.parametrize(
    ("top", "base", "said"),
    [
        ({}, {"env": {"kind": "pont"}}, "unknown env 'pont'; did you mean 'point'?"),
        ({}, {"encoder": {"kind": "state", "depth": 3}}, "State has no 'depth'"),
        ({}, {"train": {"epocs": 3}}, "train: Train has no 'epocs'; did you mean 'epochs'?"),
        ({}, {"train": {"lr": "fast"}}, "train.lr: given 'fast'; a number fits"),
        ({}, {"trian": {}}, "unknown section 'trian'; did you mean 'train'?"),
        ({}, {"env": "point"}, "env: given 'point'; a section with a kind fits"),
        (
            {"axes": {"planer.samples": [1, 2]}},
            {},
            "'planer.samples' names no section of a trial; did you mean 'planner'?",
        ),
        ({"axes": {"train.seed": []}}, {}, "axes.train.seed: given []"),
        ({"axes": {"train.seed": 3}}, {}, "axes.train.seed: given 3"),
        ({"axes": {"train.seed": [1, 1]}}, {}, "axes.train.seed: '1' stands twice"),
        ({"axes": {"x": {"a": {"train.seed": 0}, "b": {}}}}, {}, "two trials are the same: 'x=a' and 'x=b'"),
        ({"axes": {"planner": [{"kind": "cem"}, {"kind": "cme"}]}}, {}, "unknown planner 'cme'; did you mean 'cem'?"),
        ({"exclude": [{"planner.kind": "cem"}]}, {"planner": {"kind": "cem"}}, "exclude: leaves no trial"),
        ({"exclude": [{"planer.kind": "cem"}]}, {}, "did you mean 'planner'?"),
        ({"baseline": {"planner.kind": "gd"}}, {"planner": {"kind": "cem"}}, "baseline: no trial has"),
        ({"axis": {}}, {}, "unknown section 'axis'; did you mean 'axes'?"),
        ({"scale": {"train": {"workers": 0}}}, {}, "scale.train.workers: given 0"),
        ({"scale": {"train": {"workers": 9}}}, {}, "train.batch: given 8; at least scale.train.workers (9) fits"),
        ({"scale": {"train": {"workers": [3, 2]}}}, {}, "scale.train.workers: given [3, 2]; a whole number of at"),
        ({"name": "a/b"}, {}, "name: given 'a/b'"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(top: dict, base: dict, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(base=base, **top)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("override", ["train.lr", "=3", "trian.lr=1", "train.lr=[1"])
def test_a_wrong_override_is_one_clear_line(override: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(override)
    assert "override" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "- 1", "axes: {}", "base: 3", "base: {a: [}", "base: {}\nbase: {}"])
def test_a_file_that_is_no_grid_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_grid(text, "x", "x.yaml")
    assert "\n" not in str(error.value)


def test_ten_thousand_trials_are_expanded_without_parsing_each_section_again() -> None:
    grid = made(axes={"train.seed": list(range(100)), "evaluate.seed": list(range(100))})
    assert len({trial.key for trial in grid.trials}) == 10_000
    assert len(grid.steps()) == 2 + 100 + 100 + 10_000


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_grid_is_read_and_asks_a_question(path: Path) -> None:
    grid = read_grid(path)
    assert grid.question.endswith("?")
    assert grid.name == path.stem


def test_the_quickstart_shares_all_it_can() -> None:
    stages = [step.stage for step in read_grid(EXPERIMENTS / "quickstart.yaml").steps()]
    counts = {stage: stages.count(stage) for stage in stages}
    assert counts == {"collect": 1, "pretrain": 1, "encode": 1, "train": 8, "tasks": 1, "evaluate": 16}
