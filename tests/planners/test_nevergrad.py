"""Nevergrad by name."""

import pytest
import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Plan, Problem
from worldgrid.spec import ConfigError

pytest.importorskip("nevergrad")


def plan(optimiser: str) -> Plan:
    def cost(actions: Tensor) -> Tensor:
        return (actions - 0.5).square().flatten(2).mean(dim=2)

    settings = PLANNERS.parse({"kind": "nevergrad", "optimiser": optimiser, "samples": 16, "iterations": 6})
    return settings.plan(Problem(cost, 2, 2, Noise(seed=0, episodes=[4, 9], replan=0)))


@pytest.mark.parametrize("optimiser", ["OnePlusOne", "TwoPointsDE"])
def test_any_optimiser_of_the_registry_plans(optimiser: str) -> None:
    assert (plan(optimiser).costs.amin(dim=1) < 0.25).all()


@pytest.mark.parametrize("optimiser", ["NGOpt", "MetaModel"])
def test_metamodel_named_or_chosen_is_diagonal_cma(optimiser: str) -> None:
    assert torch.equal(plan(optimiser).actions, plan("DiagonalCMA").actions)


def test_an_unknown_optimiser_is_one_clear_line() -> None:
    with pytest.raises(
        ConfigError, match=r"planner.optimiser: given 'NGOptt'; a name in nevergrad.optimizers.registry"
    ):
        plan("NGOptt")
