"""What a grid costs before it runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from worldgrid.grid import Grid, make_grid
from worldgrid.price import check_budget, price, read_budget
from worldgrid.series import read_series
from worldgrid.spec import JSON, ConfigError
from worldgrid.store import Store
from worldgrid.workload import work

from .worlds import SMALL

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
AXES = {"train.seed": [0, 1], "planner": [{"kind": "cem", "samples": 32, "elites": 8}, {"kind": "gd"}]}
RATE = 1e9


def grid(**top: Any) -> Grid:
    text = yaml.safe_dump({"base": SMALL, "axes": AXES} | top, sort_keys=False)
    return make_grid(text, "made", "made.yaml")


def finish(store: Store, stage: str, seconds: float, host: JSON | None = None) -> None:
    """Commit all steps of a stage, and what they need."""
    for step in grid().steps():
        if step.stage == stage:
            for needed in step.walk():
                store.commit(needed, {"frames": 1100}, seconds, host or {})


def test_steps_are_counted_once_and_as_if_no_trial_shared_any(tmp_path: Path) -> None:
    found = price(grid(), Store(tmp_path), flops_per_second=RATE)
    counts = {one.stage: (one.steps, one.new, one.apart) for one in found.stages}
    assert counts == {
        "collect": (1, 1, 4),
        "encode": (1, 1, 4),
        "train": (2, 2, 4),
        "tasks": (1, 1, 4),
        "evaluate": (4, 4, 4),
    }
    assert (found.trials, found.cached, found.episodes) == (4, 0, 32)


def test_nothing_is_known_of_what_has_no_flops_and_never_ran(tmp_path: Path) -> None:
    found = price(grid(), Store(tmp_path), flops_per_second=RATE)
    assert found.unknown == ["collect", "encode", "tasks"]


def test_hours_come_from_finished_steps_in_proportion_to_their_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "train", seconds=90.0)
    longer = grid(base=SMALL | {"train": SMALL["train"] | {"epochs": 20}})
    training = next(one for one in price(longer, store).stages if one.stage == "train")
    assert training.hours == pytest.approx(2 * 10 * 90.0 / 3600)
    assert training.source == "2 finished steps"


def test_workers_that_share_a_training_are_all_paid(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "train", seconds=90.0)
    longer = grid(base=SMALL | {"train": SMALL["train"] | {"epochs": 4}}, scale={"train": {"workers": 2}})
    training = next(one for one in price(longer, store).stages if one.stage == "train")
    assert training.hours == pytest.approx(2 * 2 * 2 * 90.0 / 3600)


def test_a_step_that_says_what_its_workers_took_is_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "evaluate", seconds=900.0, host={"spent": {"worker_seconds": 90.0, "gpu_seconds": 0.0}})
    more = grid(base=SMALL | {"evaluate": SMALL["evaluate"] | {"seed": 7}})  # the pool's clock runs while others play
    playing = next(one for one in price(more, store).stages if one.stage == "evaluate")
    assert playing.hours == pytest.approx(4 * 90.0 / 3600)


def test_what_is_in_the_store_costs_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "evaluate", seconds=10.0)
    found = price(grid(), store)
    assert (found.hours, found.cached, found.longest) == (0.0, 4, 0.0)
    assert found.hours_apart > 0


def test_the_longest_chain_is_shorter_than_all_the_work_and_longer_than_a_training(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "tasks", seconds=0.0)
    found = price(grid(), store, flops_per_second=RATE)
    training = next(one for one in found.stages if one.stage == "train")
    assert training.hours is not None
    assert training.hours / 2 < found.longest < found.hours


def test_gpus_cost_their_price(tmp_path: Path) -> None:
    scale = {"train": {"workers": 2, "gpus": 1}}
    found = price(grid(scale=scale), Store(tmp_path), gpu_hour=2.5, flops_per_second=RATE)
    training = next(one for one in found.stages if one.stage == "train")
    assert found.gpu_hours == training.hours
    assert found.cost == pytest.approx(2.5 * found.gpu_hours)


def test_twice_the_candidates_are_twice_the_work() -> None:
    store = Store("nowhere")
    one, two = (
        work(
            grid(axes={"planner": [{"kind": "cem", "samples": samples, "elites": 8}]}).trials[0].evaluations[0].step,
            store,
        )
        for samples in (32, 64)
    )
    assert two.flops / one.flops == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(("text", "hours"), [("200h", 200.0), ("30m", 0.5), ("2d", 48.0), ("36s", 0.01)])
def test_a_budget_is_read_with_its_unit(text: str, hours: float) -> None:
    assert read_budget(text) == pytest.approx(hours)


@pytest.mark.parametrize("text", ["200", "h", "many", ""])
def test_a_budget_without_a_unit_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="a number with s, m, h or d fits"):
        read_budget(text)


def test_a_grid_above_its_budget_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, "train", seconds=3600.0)
    longer = grid(base=SMALL | {"train": SMALL["train"] | {"epochs": 4}})
    found = price(longer, store, flops_per_second=RATE)
    with pytest.raises(ConfigError, match=r"budget: given 3 h; the grid takes 4\.\d worker-hours"):
        check_budget(found, 3.0)
    with pytest.raises(ConfigError, match="nothing tells how long tasks takes here"):
        check_budget(found, 5.0)


def test_the_papers_121_trainings_are_priced(tmp_path: Path) -> None:
    paper = read_series(EXPERIMENTS / "paper", ["evaluate.epochs=1"], without_weights=True).whole
    found = price(paper, Store(tmp_path), gpu_hour=2.5, flops_per_second=2e14)
    stages = {one.stage: one for one in found.stages}
    assert (stages["train"].steps, stages["encode"].steps) == (121, 41)
    assert found.cost > 0
    assert found.hours < found.hours_apart
