"""Gradient descent takes the analytic step, with the official code's constants."""

import pytest
import torch
from torch import Tensor, nn

from worldgrid.noise import Noise
from worldgrid.planners import Problem
from worldgrid.planners.gd import GradientDescent

EPISODES = [4, 9]
NOISE = Noise(seed=0, episodes=EPISODES, replan=0)


def half_square(actions: Tensor) -> Tensor:
    """A cost whose gradient is the action."""
    return actions.square().flatten(2).sum(dim=2) / 2


def test_a_step_is_lr_times_the_gradient() -> None:
    plan = GradientDescent(iterations=3, lr=0.25, noise=0.0).plan(Problem(half_square, 2, 3, NOISE))
    start = NOISE.normal(0, 1, 2, 3)[:, 0]
    torch.testing.assert_close(plan.actions, 0.75**3 * start)


def test_the_start_has_the_spread_that_was_asked_for() -> None:
    plan = GradientDescent(iterations=1, lr=0.5, noise=0.0, spread=0.1).plan(Problem(half_square, 2, 3, NOISE))
    torch.testing.assert_close(plan.actions, 0.05 * NOISE.normal(0, 1, 2, 3)[:, 0])


def test_noise_is_added_after_the_step() -> None:
    plan = GradientDescent(iterations=1, lr=1.0).plan(Problem(half_square, 2, 3, NOISE))
    torch.testing.assert_close(plan.actions, 0.003 * NOISE.normal(1, 1, 1, 2, 3)[:, 0, 0])


def test_the_episodes_in_a_batch_do_not_change_the_step_size() -> None:
    settings = GradientDescent(iterations=5, lr=0.1)
    pair = settings.plan(Problem(half_square, 2, 3, NOISE))
    crowd = settings.plan(Problem(half_square, 2, 3, Noise(seed=0, episodes=range(16), replan=0)))
    assert torch.equal(pair.actions, crowd.actions[EPISODES])


def test_several_starts_keep_the_best_valley() -> None:
    def two_valleys(actions: Tensor) -> Tensor:
        """Valleys at -1 (cost 1) and at +1 (cost 0), the same number for every part of the plan."""
        return ((actions.square() - 1).square() + 0.5 * (actions - 1).square() / 2).flatten(2).mean(dim=2)

    many = GradientDescent(iterations=400, lr=0.02, starts=32, noise=0.0)
    one = many.model_copy(update={"starts": 1})
    noise = Noise(seed=0, episodes=range(8), replan=0)
    best = many.plan(Problem(two_valleys, 1, 1, noise)).actions
    alone = one.plan(Problem(two_valleys, 1, 1, noise)).actions
    torch.testing.assert_close(best, torch.ones(8, 1, 1), atol=0.01, rtol=0)
    assert (alone < 0).any(), "otherwise this test shows nothing"


def test_weights_get_no_gradient() -> None:
    model = nn.Linear(3, 1)
    GradientDescent(iterations=2).plan(Problem(lambda actions: model(actions).flatten(2).sum(dim=2), 2, 3, NOISE))
    assert model.weight.grad is None


def test_it_descends_where_its_caller_turned_gradients_off() -> None:
    with torch.no_grad():
        plan = GradientDescent(iterations=50, lr=0.5, noise=0.0).plan(Problem(half_square, 2, 3, NOISE))
    assert plan.actions.abs().max() < 1e-6


@pytest.mark.parametrize("starts", [1, 3])
def test_every_gradient_step_of_every_start_is_a_call(starts: int) -> None:
    assert GradientDescent(iterations=7, starts=starts).calls == 7 * starts


def test_the_defaults_are_the_studys() -> None:
    assert GradientDescent().recipe() == {
        "kind": "gd",
        "iterations": 500,
        "starts": 1,
        "spread": 1.0,
        "noise": 0.003,
        "clip": None,
        "lr": 1.0,
    }
