"""The end-to-end JEPA: prediction, and what holds latents open."""

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from worldgrid.predictors import Latent, Shapes
from worldgrid.pretexts import PRETEXTS, Pretext
from worldgrid.spec import ConfigError

SHAPES = Shapes(patches=4, width=6, action=3, proprio=0)
PAIR = [torch.randn(8, 4, 6), torch.randn(8, 4, 6), torch.randn(8, 3)]


def made(**settings: object) -> Pretext:
    return PRETEXTS.parse({"kind": "jepa", **settings}).build(SHAPES)


def test_the_prediction_is_of_the_next_latent_under_the_action() -> None:
    jepa = made()
    before, after, actions = PAIR
    predicted = jepa.predictor(Latent(before[:, None]), actions[:, None]).visual[:, 0]
    _, terms = jepa(*PAIR, np.random.default_rng(0))
    torch.testing.assert_close(terms["prediction"], mse_loss(predicted, after))


def test_sigreg_and_vicreg_are_weighed_as_the_settings_say() -> None:
    loss, terms = made(weight=0.5)(*PAIR, np.random.default_rng(0))
    torch.testing.assert_close(loss.detach(), terms["prediction"] + 0.5 * terms["sigreg"])
    loss, terms = made(regulariser="vicreg", variance=0.5, covariance=2.0)(*PAIR, np.random.default_rng(0))
    torch.testing.assert_close(loss.detach(), terms["prediction"] + 0.5 * terms["variance"] + 2 * terms["covariance"])


def test_directions_are_drawn_anew_in_every_step() -> None:
    jepa = made(directions=4)
    first, second = (jepa(*PAIR, np.random.default_rng(seed))[1]["sigreg"] for seed in (0, 1))
    assert first != second


def test_a_width_that_heads_cannot_share_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.objective\.width: given 30") as error:
        made(width=30)
    assert "\n" not in str(error.value)
