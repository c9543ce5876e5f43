"""Objectives that make an encoder, and signs of collapse."""

import math

import pytest
import torch
from torch import Tensor

from worldgrid.objectives import GoalDistance
from worldgrid.predictors import Latent
from worldgrid.representation import distances, effective_rank, spread, time_contrastive


def drawn(seed: int, frames: int = 6) -> Tensor:
    return torch.randn(frames, 4, 3, generator=torch.Generator().manual_seed(seed))


def one_way(anchors: Tensor, positives: Tensor, temperature: float) -> float:
    """The definition, one number at a time."""
    total = 0.0
    for row, anchor in enumerate(anchors):
        closeness = [-math.sqrt(((anchor - other) ** 2).mean().item()) / temperature for other in positives]
        total -= closeness[row] - math.log(sum(math.exp(value) for value in closeness))
    return total / len(anchors)


def test_the_loss_is_info_nce_both_ways() -> None:
    anchors, positives = drawn(0), drawn(1)
    slow = (one_way(anchors, positives, 0.3) + one_way(positives, anchors, 0.3)) / 2
    assert time_contrastive(anchors, positives, 0.3).item() == pytest.approx(slow, rel=1e-5)


def test_telling_no_frame_from_another_costs_the_logarithm_of_their_number() -> None:
    same = torch.ones(6, 4, 3)
    assert time_contrastive(same, same, 0.1).item() == pytest.approx(math.log(6))


def test_frames_that_are_equal_give_a_finite_gradient() -> None:
    frames = drawn(0).requires_grad_()
    time_contrastive(frames, frames.detach().clone(), 0.1).backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()


def test_distances_rank_frames_as_planning_by_goal_distance_does() -> None:
    frames, goal = drawn(0), drawn(1, frames=1)
    planned = GoalDistance().distance(Latent(frames[:, None]), Latent(goal[:, None]))
    torch.testing.assert_close(distances(frames, goal)[:, 0].square(), planned)


@pytest.mark.parametrize("constant", [0.0, 1.7, -3e4])
def test_an_encoder_that_always_says_the_same_has_rank_and_spread_0(constant: float) -> None:
    tokens = torch.full((50, 4, 3), constant)
    assert effective_rank(tokens) == 0.0
    assert spread(tokens) == pytest.approx(0.0, abs=1e-6)


def test_features_on_a_line_have_rank_1() -> None:
    assert effective_rank(torch.linspace(0, 1, 50)[:, None, None] * drawn(0, frames=1)) == pytest.approx(1.0, abs=1e-3)


def test_features_that_use_all_directions_alike_have_full_rank() -> None:
    corners = torch.cat([torch.eye(12), -torch.eye(12)]).view(24, 4, 3)
    assert effective_rank(corners) == pytest.approx(12.0)


def test_spread_is_in_the_unit_of_the_tokens() -> None:
    assert spread(3 * drawn(0)) == pytest.approx(3 * spread(drawn(0)), rel=1e-5)
