"""Trials that are drawn: the same every time, and more of them begin with the same."""

from typing import Any

import pytest
import yaml

from worldgrid.grid import Grid, make_grid
from worldgrid.search import Space
from worldgrid.spec import ConfigError, parse

BASE = {
    "env": {"kind": "point"},
    "encoder": {"kind": "state"},
    "predictor": {"kind": "transformer", "width": 16, "depth": 1, "heads": 2, "context": 2, "proprio": "none"},
    "train": {"epochs": 4, "batch": 8},
}
SPACES = {"train.lr": {"loguniform": [1e-4, 1e-2]}, "predictor.depth": {"int": [1, 6]}}


def searched(*overrides: str, top: dict[str, Any] | None = None, **search: Any) -> Grid:
    content = {"base": BASE, "search": {"trials": 8, "spaces": SPACES} | search} | (top or {})
    return make_grid(yaml.safe_dump(content, sort_keys=False), "made", "made.yaml", overrides)


def drawn(grid: Grid, path: str) -> list[Any]:
    section, name = path.split(".")
    return [trial.experiment.settings()[section][name] for trial in grid.trials]


def test_the_same_seed_draws_the_same_trials_and_another_one_others() -> None:
    keys = [[trial.key for trial in grid.trials] for grid in (searched(), searched(), searched(seed=1))]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])


def test_a_longer_search_begins_with_the_trials_of_a_shorter_one() -> None:
    short, long = searched(), searched("search.trials=12")
    assert [trial.key for trial in long.trials[:8]] == [trial.key for trial in short.trials]


def test_one_more_space_moves_no_draw_of_the_others() -> None:
    more = searched(spaces=SPACES | {"train.clip": {"uniform": [0.5, 2.0]}})
    assert drawn(more, "train.lr") == drawn(searched(), "train.lr")


def test_draws_lie_in_their_spaces_and_are_called_by_what_they_are() -> None:
    grid = searched(trials=40)
    rates, depths = drawn(grid, "train.lr"), drawn(grid, "predictor.depth")
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert set(depths) == {1, 2, 3, 4, 5, 6}
    assert 10 <= sum(rate < 1e-3 for rate in rates) <= 30  # as many in each order of magnitude
    assert grid.trials[0].labels == {"search": f"lr={rates[0]} depth={depths[0]}"}


def test_other_axes_multiply_the_draws() -> None:
    grid = searched(trials=3, top={"axes": {"train.seed": [0, 1]}})
    assert len(grid.trials) == 6
    assert drawn(grid, "train.lr")[::2] == drawn(grid, "train.lr")[1::2]


def test_a_choice_takes_whole_sections_too() -> None:
    planners = [{"kind": "cem", "samples": 100}, {"kind": "cem", "samples": 200}]
    grid = searched(trials=2, spaces={"planner": {"choice": planners}})
    assert sorted(drawn(grid, "planner.samples")) == [100, 200]
    assert sorted(trial.labels["search"] for trial in grid.trials) == [
        "planner=cem(samples=100)",
        "planner=cem(samples=200)",
    ]


def test_numbers_have_four_digits() -> None:
    assert Space(uniform=(0.0, 1.0)).at(1 / 3) == 0.3333
    assert Space(loguniform=(1e-4, 1e-2)).at(0.5) == 1e-3


def test_the_grid_says_what_it_searches() -> None:
    said = searched(rungs=[1, 2]).search
    assert said is not None
    assert said.told(8) == (
        'search: 8 draws (seed 0) of train.lr {"loguniform":[0.0001,0.01]}, predictor.depth {"int":[1,6]}; after epoch '
        "1, 2 the best 1 in 3 by rollout_error goes on, so the 8 trials cost less"
    )


@pytest.mark.parametrize(
    ("search", "top", "said"),
    [
        ({"trials": 0}, {}, "search.trials: given 0"),
        ({"spaces": {}}, {}, "search.spaces: given {}"),
        ({"spaces": {"trian.lr": {"uniform": [0, 1]}}}, {}, "did you mean 'train'?"),
        ({"spaces": {"train.lr": {"unform": [0, 1]}}}, {}, "search.spaces.train.lr: Space has no 'unform'; did you"),
        ({"spaces": {"train.lr": {}}}, {}, "one of choice: [...], uniform, loguniform or int"),
        ({"spaces": {"train.lr": {"uniform": [1.0, 0.5]}}}, {}, "lowest below highest"),
        ({"spaces": {"train.lr": {"loguniform": [0.0, 0.5]}}}, {}, "above 0"),
        ({"spaces": {"train.seed": {"int": [0, 3]}}}, {}, "search.trials: given 8; the spaces hold hardly more than 4"),
        ({}, {"axes": {"train.lr": [1e-3]}}, "search.spaces: 'train.lr' is an axis already"),
        ({}, {"axes": {"search": {"a": {"train.seed": 1}}}}, "given an axis 'search'; another name fits"),
        ({"rungs": [4]}, {}, "search.rungs: given 4; epochs with a checkpoint before the last fit"),
        ({"rungs": [2, 1]}, {}, "rungs: rising epochs of at least 1 fit"),
        ({"by": "loss"}, {}, "search.by: given 'loss'"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(search: dict[str, Any], top: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        searched(top=top, **search)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_search_on_the_command_line_alone_lacks_its_spaces() -> None:
    with pytest.raises(ConfigError, match=r"search\.spaces: missing"):
        make_grid(yaml.safe_dump({"base": BASE}), "made", "made.yaml", ["search.trials=3"])


def test_a_space_without_an_upper_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"search\.spaces\.x\.int"):
        parse(Space, {"int": [1]}, "search.spaces.x")
