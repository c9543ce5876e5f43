"""Adam is a real Adam: what the official class of that name is not."""

import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import Problem
from worldgrid.planners.adam import Adam

NOISE = Noise(seed=0, episodes=[4, 9], replan=0)
START = NOISE.normal(0, 1, 2, 3)[:, 0]


def half_square(actions: Tensor) -> Tensor:
    """A cost whose gradient is the action."""
    return actions.square().flatten(2).sum(dim=2) / 2


def test_the_first_step_is_lr_in_the_direction_of_the_sign() -> None:
    plan = Adam(iterations=1, lr=0.2, noise=0.0).plan(Problem(half_square, 2, 3, NOISE))
    torch.testing.assert_close(plan.actions, START - 0.2 * START.sign())


def test_the_second_step_uses_both_moments_without_bias() -> None:
    plan = Adam(iterations=2, lr=0.2, noise=0.0, betas=(0.5, 0.75)).plan(Problem(half_square, 2, 3, NOISE))
    one = START
    two = START - 0.2 * START.sign()
    first = (0.5 * 0.5 * one + 0.5 * two) / (1 - 0.5**2)
    second = (0.75 * 0.25 * one.square() + 0.25 * two.square()) / (1 - 0.75**2)
    torch.testing.assert_close(plan.actions, two - 0.2 * first / second.sqrt())


def test_the_scale_of_the_cost_does_not_matter() -> None:
    settings = Adam(iterations=20)
    plan = settings.plan(Problem(half_square, 2, 3, NOISE))
    loud = settings.plan(Problem(lambda actions: 1000 * half_square(actions), 2, 3, NOISE))
    torch.testing.assert_close(plan.actions, loud.actions, atol=1e-4, rtol=0)


def test_one_plan_leaves_nothing_for_the_next() -> None:
    settings = Adam(iterations=5)
    first = settings.plan(Problem(half_square, 2, 3, NOISE))
    assert torch.equal(first.actions, settings.plan(Problem(half_square, 2, 3, NOISE)).actions)
