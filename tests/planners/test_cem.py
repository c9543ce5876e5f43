"""CEM against its iteration done by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Problem
from worldgrid.planners.cem import CEM
from worldgrid.spec import ConfigError

NOISE = Noise(seed=0, episodes=[4, 9], replan=0)
H, A = 2, 3


def square(actions: Tensor) -> Tensor:
    return actions.square().flatten(2).mean(dim=2)


def off_centre(actions: Tensor) -> Tensor:
    return square(actions - 1)


def draws(step: int, samples: int) -> Tensor:
    return NOISE.normal(step, samples, H, A)


def by_hand(cost: Any, actions: Tensor, elites: int) -> Tensor:
    """`[B, K, H, A]` elites, one episode after the other."""
    costs = cost(actions)
    return torch.stack([actions[row, costs[row].argsort()[:elites]] for row in range(len(actions))])


def test_two_iterations_equal_the_algorithm_on_paper() -> None:
    first = draws(0, 12)
    first[:, 0] = 0
    elites = by_hand(off_centre, first, 4)
    mean, std = elites.mean(dim=1), elites.var(dim=1, correction=1).sqrt()
    second = mean[:, None] + std[:, None] * draws(1, 12)
    second[:, 0] = mean
    expected = by_hand(off_centre, second, 4).mean(dim=1)
    plan = CEM(samples=12, elites=4, iterations=2).plan(Problem(off_centre, H, A, NOISE))
    torch.testing.assert_close(plan.actions, expected)


def test_the_mean_competes() -> None:
    plan = CEM(samples=20, elites=2, iterations=1, returns="best").plan(Problem(square, H, A, NOISE))
    assert torch.equal(plan.actions, torch.zeros(2, H, A))


def test_the_best_of_all_iterations_can_be_returned() -> None:
    seen: list[Tensor] = []

    def cost(actions: Tensor) -> Tensor:
        seen.append(actions)
        return off_centre(actions)

    plan = CEM(samples=20, elites=5, iterations=4, returns="best").plan(Problem(cost, H, A, NOISE))
    everything = torch.cat(seen, dim=1)
    assert torch.equal(plan.actions, by_hand(off_centre, everything, 1)[:, 0])


def test_momentum_keeps_a_share_of_the_old_mean() -> None:
    settings = CEM(samples=20, elites=5, iterations=1)
    whole = settings.plan(Problem(off_centre, H, A, NOISE)).actions
    half = settings.model_copy(update={"mean_momentum": 0.5}).plan(Problem(off_centre, H, A, NOISE)).actions
    torch.testing.assert_close(half, whole / 2)


@pytest.mark.parametrize(("settings", "least"), [({"min_spread": 0.5}, 0.4), ({"spread_momentum": 0.99}, 0.7)])
def test_the_spread_can_be_kept_from_collapsing(settings: dict[str, float], least: float) -> None:
    spreads: list[float] = []

    def cost(actions: Tensor) -> Tensor:
        spreads.append(float(actions.std(dim=1).mean()))
        return square(actions)

    CEM(samples=100, iterations=20).plan(Problem(cost, H, A, NOISE))
    collapsed = spreads.pop()
    CEM(samples=100, iterations=20, **settings).plan(Problem(cost, H, A, NOISE))
    assert collapsed < 1e-3
    assert spreads[-1] > least


def test_each_number_of_a_simulator_action_has_its_own_limit() -> None:
    plan = CEM(clip=(0.1, 0.1, 0.75)).plan(Problem(lambda actions: square(actions - 5), H, 2 * A, NOISE))
    torch.testing.assert_close(plan.actions, torch.tensor([0.1, 0.1, 0.75]).repeat(2, H, 2))


def test_fewer_finite_candidates_than_elites_are_enough() -> None:
    def only_the_mean(actions: Tensor) -> Tensor:
        return square(actions).where(torch.arange(actions.shape[1]) == 0, torch.nan)

    plan = CEM(samples=20, elites=10, iterations=3).plan(Problem(only_the_mean, H, A, NOISE))
    assert torch.equal(plan.actions, torch.zeros(2, H, A))
    assert plan.rejected.tolist() == [57, 57]


def test_more_elites_than_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="elites <= samples fits; there are 10 elites of 5 samples"):
        PLANNERS.parse({"kind": "cem", "samples": 5})


def test_the_defaults_are_the_studys() -> None:
    assert CEM().recipe() == {
        "kind": "cem",
        "samples": 300,
        "iterations": 30,
        "elites": 10,
        "spread": 1.0,
        "min_spread": 0.0,
        "mean_momentum": 0.0,
        "spread_momentum": 0.0,
        "clip": None,
        "returns": "mean",
    }
