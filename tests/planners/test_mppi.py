"""MPPI between its two limits: the best elite and the plain mean of the elites."""

import pytest
import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Problem
from worldgrid.planners.mppi import MPPI
from worldgrid.spec import ConfigError

NOISE = Noise(seed=0, episodes=[4, 9], replan=0)


def off_centre(actions: Tensor) -> Tensor:
    return (actions - 1).square().flatten(2).mean(dim=2)


def elites(count: int) -> Tensor:
    draws = NOISE.normal(0, 30, 2, 3)
    order = off_centre(draws).argsort(dim=1)[:, :count]
    return torch.stack([row[best] for row, best in zip(draws, order, strict=True)])


def one_iteration(temperature: float) -> Tensor:
    settings = MPPI(samples=30, elites=8, iterations=1, temperature=temperature)
    return settings.plan(Problem(off_centre, 2, 3, NOISE)).actions


def test_a_high_temperature_takes_the_best_elite() -> None:
    torch.testing.assert_close(one_iteration(1e6), elites(1)[:, 0])


def test_a_low_temperature_takes_the_mean_of_the_elites() -> None:
    torch.testing.assert_close(one_iteration(1e-9), elites(8).mean(dim=1))


def test_a_temperature_of_one_weighs_by_the_exponential_of_minus_the_cost() -> None:
    best = elites(8)
    weight = torch.exp(-off_centre(best))
    expected = (weight[..., None, None] * best).sum(dim=1) / weight.sum(dim=1)[:, None, None]
    torch.testing.assert_close(one_iteration(1.0), expected)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"samples": 5}, "elites <= samples fits; there are 64 elites of 5 samples"),
        ({"spread": 3.0}, "min_spread <= spread <= max_spread fits; they are 0.05, 3.0, 2.0"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, float], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        PLANNERS.parse({"kind": "mppi"} | settings)
