"""Inverse dynamics: what an action did tells the action."""

import numpy as np
import torch

from worldgrid.predictors import Shapes
from worldgrid.pretexts import PRETEXTS

SHAPES = Shapes(patches=1, width=2, action=2, proprio=0)


def test_an_action_that_shows_is_learned_and_one_that_does_not_show_is_not() -> None:
    torch.manual_seed(0)
    guess = PRETEXTS.parse({"kind": "inverse_dynamics", "hidden": 32}).build(SHAPES)
    optimiser = torch.optim.Adam(guess.parameters(), lr=1e-2)
    for _ in range(200):
        before, actions = torch.randn(64, 1, 2), torch.randn(64, 2)
        shows = torch.stack([actions[:, 0], torch.zeros(64)], dim=1)
        loss, terms = guess(before, before + shows[:, None], actions, np.random.default_rng(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert 0.3 < terms["action"].item() < 0.8  # the mean of nearly 0 and of the variance, 1


def test_the_loss_is_its_weighted_terms() -> None:
    weights = {"variance": 0.5, "covariance": 0.25}
    guess = PRETEXTS.parse({"kind": "inverse_dynamics"} | weights).build(SHAPES)
    pair = [torch.randn(8, 1, 2), torch.randn(8, 1, 2), torch.randn(8, 2)]
    loss, terms = guess(*pair, np.random.default_rng(0))
    torch.testing.assert_close(loss, terms["action"] + 0.5 * terms["variance"] + 0.25 * terms["covariance"])
