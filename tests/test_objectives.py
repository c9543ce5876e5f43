"""Objectives against numbers done by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldgrid.objectives import OBJECTIVES, GoalDistance, ObjectiveSpec
from worldgrid.predictors import Latent
from worldgrid.spec import ConfigError

IMAGINED = Latent(
    visual=torch.tensor([[[[9.0, 9.0], [9.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]]]]),
    proprio=torch.tensor([[[[9.0, 9.0]], [[1.0, 5.0]]]]),
)
"""One future of two frames, two tokens of two numbers."""
GOAL = Latent(visual=torch.tensor([[[[1.0, 0.0], [0.0, 4.0]]]]), proprio=torch.tensor([[[[1.0, 1.0]]]]))


def distance(**changes: object) -> float:
    return float(OBJECTIVES.parse({"kind": "goal_distance"} | changes).distance(IMAGINED, GOAL))


def test_l2_is_the_mean_of_squares_over_the_last_frame() -> None:
    assert distance(norm="l2") == pytest.approx((0 + 4 + 9 + 0) / 4)


def test_l1_is_the_mean_of_absolute_differences_over_the_last_frame() -> None:
    assert distance(norm="l1") == pytest.approx((0 + 2 + 3 + 0) / 4)


def test_cosine_is_the_mean_over_tokens_of_one_minus_the_cosine() -> None:
    assert distance(norm="cosine") == pytest.approx(((1 - 5**-0.5) + (1 - 0.8)) / 2)


def test_all_steps_are_summed() -> None:
    first = ((9 - 1) ** 2 + 9**2 + 9**2 + (9 - 4) ** 2) / 4
    assert distance(steps="all") == pytest.approx(first + 13 / 4)


@pytest.mark.parametrize(("norm", "felt"), [("l2", 8.0), ("l1", 2.0), ("cosine", 1 - 6 / 52**0.5)])
def test_proprioception_is_weighed_with_the_same_norm(norm: str, felt: float) -> None:
    assert distance(norm=norm, proprio=0.1) == pytest.approx(distance(norm=norm) + 0.1 * felt)


def test_weighing_a_proprioception_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"objective\.proprio: given 0\.1; 0 fits"):
        GoalDistance(proprio=0.1).distance(Latent(IMAGINED.visual), Latent(GOAL.visual))


def test_an_objective_is_differentiable() -> None:
    visual = IMAGINED.visual.clone().requires_grad_()
    GoalDistance().distance(Latent(visual), GOAL).sum().backward()
    torch.testing.assert_close(visual.grad[:, -1], 2 * (IMAGINED.visual - GOAL.visual)[:, -1] / 4)


@pytest.mark.parametrize("section", [{"norm": norm} for norm in ("l2", "l1", "cosine")])
@given(rows=st.integers(1, 5), seed=st.integers(0, 100))
def test_every_row_is_its_own_and_zero_at_the_goal(section: dict[str, str], rows: int, seed: int) -> None:
    objective: ObjectiveSpec = OBJECTIVES.parse({"kind": "goal_distance"} | section)
    draws = torch.randn(rows, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    future, goal = Latent(draws[:, :2]), Latent(draws[:, 2:])
    together = objective.distance(future, goal)
    assert together.shape == (rows,)
    for row in range(rows):
        alone = objective.distance(Latent(draws[row : row + 1, :2]), Latent(draws[row : row + 1, 2:]))
        torch.testing.assert_close(alone[0], together[row])
    torch.testing.assert_close(objective.distance(goal, goal), torch.zeros(rows), atol=1e-6, rtol=0)
