"""Random shooting keeps the cheapest of its draws."""

import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import Problem
from worldgrid.planners.random import RandomShooting

NOISE = Noise(seed=0, episodes=[4, 9], replan=0)


def square(actions: Tensor) -> Tensor:
    return actions.square().flatten(2).mean(dim=2)


def test_the_plan_is_the_cheapest_of_all_draws() -> None:
    plan = RandomShooting(samples=10, iterations=3, spread=0.5).plan(Problem(square, 2, 3, NOISE))
    draws = 0.5 * torch.cat([NOISE.normal(step, 10, 2, 3) for step in range(3)], dim=1)
    cheapest = torch.stack([row[costs.argmin()] for row, costs in zip(draws, square(draws), strict=True)])
    assert torch.equal(plan.actions, cheapest)
