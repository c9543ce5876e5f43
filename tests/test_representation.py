"""Objectives that make an encoder, and signs of collapse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from worldgrid.objectives import GoalDistance
from worldgrid.predictors import Latent
from worldgrid.representation import (
    covariance,
    distances,
    effective_rank,
    info_nce,
    rank_correlation,
    sigreg,
    spreads,
    variance,
)


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
    assert info_nce(anchors, positives, 0.3).item() == pytest.approx(slow, rel=1e-5)


def test_telling_no_frame_from_another_costs_the_logarithm_of_their_number() -> None:
    same = torch.ones(6, 4, 3)
    assert info_nce(same, same, 0.1).item() == pytest.approx(math.log(6))


def test_frames_that_are_equal_give_a_finite_gradient() -> None:
    frames = drawn(0).requires_grad_()
    info_nce(frames, frames.detach().clone(), 0.1).backward()
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
    assert spreads(tokens).tolist() == [0.0] * 12


def test_features_on_a_line_have_rank_1() -> None:
    assert effective_rank(torch.linspace(0, 1, 50)[:, None, None] * drawn(0, frames=1)) == pytest.approx(1.0, abs=1e-3)


def test_features_that_use_all_directions_alike_have_full_rank() -> None:
    corners = torch.cat([torch.eye(12), -torch.eye(12)]).view(24, 4, 3)
    assert effective_rank(corners) == pytest.approx(12.0)


def test_every_number_has_its_own_spread_in_the_unit_of_the_tokens() -> None:
    tokens = drawn(0)
    tokens[:, 1, 2] = 7.0
    assert spreads(tokens)[5] == 0.0
    torch.testing.assert_close(spreads(3 * tokens), 3 * spreads(tokens))


# Regularisers


def test_the_variance_term_is_the_shortfall_of_each_deviation_from_1() -> None:
    steady = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 20.0]]).repeat(50, 1)
    deviations = steady.std(dim=0).tolist()
    assert variance(steady).item() == pytest.approx((1 - deviations[0]) / 3, abs=0.01)
    assert deviations[1] > 1


def test_the_covariance_term_is_the_squared_covariances_of_different_numbers_over_their_count() -> None:
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]
    )
    matrix = np.cov(features.numpy().T)
    slow = sum(matrix[i, j] ** 2 for i in range(3) for j in range(3) if i != j) / 3
    assert covariance(features).item() == pytest.approx(slow, rel=1e-4)


def epps_pulley(sample: list[float]) -> float:
    """The statistic in closed form: the integral of |empirical - normal characteristic function|^2 exp(-t^2 / 2)."""
    n, root = len(sample), math.sqrt(2 * math.pi)
    pairs = sum(math.exp(-((x - y) ** 2) / 2) for x in sample for y in sample) / n**2
    mixed = sum(math.exp(-(x**2) / 4) for x in sample) / n / math.sqrt(2)
    return n * root * (pairs - 2 * mixed + 1 / math.sqrt(3))


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_sigreg_along_one_direction_is_the_statistic_of_epps_and_pulley(shift: float) -> None:
    features = shift + torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    direction = torch.tensor([[0.6], [0.8]])
    expected = epps_pulley((features @ direction)[:, 0].tolist())
    assert sigreg(features, direction).item() == pytest.approx(expected, rel=1e-3)


def test_sigreg_is_the_mean_over_directions() -> None:
    features, directions = drawn(0).flatten(1), torch.eye(12)
    each = [sigreg(features, directions[:, [k]]) for k in range(12)]
    torch.testing.assert_close(sigreg(features, directions), torch.stack(each).mean())


@pytest.mark.parametrize("change", [lambda z: 0.5 * z, lambda z: 2 * z, lambda z: z + 1, lambda z: z.sign(), abs])
def test_sigreg_is_least_for_a_standard_normal(change: Callable[[Tensor], Tensor]) -> None:
    normal = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    directions = torch.eye(2)
    assert sigreg(change(normal), directions) > 2 * sigreg(normal, directions)


# Order of distances


def test_the_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 50), rng.normal(size=50)
    for pair in ((first, second), (second, first), (first, first + 3 * second)):
        assert rank_correlation(*pair) == pytest.approx(spearmanr(*pair).statistic)


def test_only_the_order_counts_for_the_rank_correlation() -> None:
    first = np.array([0.1, 3.0, 2.0, 7.0])
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1.0)
    assert rank_correlation(first, -(first**3)) == pytest.approx(-1.0)


def test_what_never_varies_correlates_with_nothing() -> None:
    assert rank_correlation(np.zeros(4), np.arange(4.0)) == 0.0
