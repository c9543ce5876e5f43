"""Actions drawn anew fill the environment's box."""

import numpy as np
import pytest

from worldgrid.envs.pointmaze import PointMaze
from worldgrid.policies.uniform import Uniform


def test_actions_fill_the_box_evenly() -> None:
    policy = Uniform().start(PointMaze(), range(100))
    drawn = np.stack([policy.act(np.zeros((100, 4)), time) for time in range(50)])
    assert np.abs(drawn).max() <= 1.0
    assert np.abs(drawn).max() > 0.99
    assert drawn.mean() == pytest.approx(0.0, abs=0.02)
    assert drawn.std() == pytest.approx(0.577, abs=0.01)
