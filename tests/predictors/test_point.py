"""The exact predictor knows env `point` to the last digit that float32 has."""

import numpy as np
import pytest
import torch

from worldgrid.envs.point import Point
from worldgrid.predictors import Latent, Shapes, rollout
from worldgrid.predictors.point import ExactPoint
from worldgrid.spec import ConfigError
from worldgrid.world_model import Normalisation

SHAPES = Shapes(patches=1, width=2, action=10, proprio=2)


def test_it_predicts_what_the_simulator_does() -> None:
    env = Point(size=16).tasks([0, 1, 2])
    statistics = Normalisation(
        action_mean=(0.01, -0.02), action_std=(0.01, 0.02), proprio_mean=(0.0, 0.0), proprio_std=(1.0, 1.0)
    )
    predictor = ExactPoint(action_mean=statistics.action_mean, action_std=statistics.action_std).build(SHAPES)
    start = Latent(torch.from_numpy(env.state()).float()[:, None, None])
    actions = np.random.default_rng(0).uniform(-0.02, 0.02, (3, 2, 5, 2))
    standardised = statistics.standardise_actions(torch.from_numpy(actions).float().flatten(2))
    imagined = rollout(predictor, start, standardised, context=1)
    for step in range(2):
        for simulator_step in range(5):
            env.step(actions[:, step, simulator_step])
        np.testing.assert_allclose(imagined.visual[:, step, 0].numpy(), env.state(), atol=1e-6)


def test_it_refuses_latents_that_are_no_position() -> None:
    with pytest.raises(ConfigError, match="1 x 2 and a multiple of 2 fit"):
        ExactPoint().build(Shapes(patches=4, width=2, action=10, proprio=2))
