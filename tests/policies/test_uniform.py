"""Actions drawn anew fill the environment's box."""

import numpy as np
import pytest

from worldgrid.envs.pointmaze import PointMaze
from worldgrid.policies.uniform import Uniform


def test_a_draw_is_held() -> None:
    policy = Uniform(hold=3).start(PointMaze(), range(4))
    drawn = np.stack([policy.act(np.zeros((4, 4)), time) for time in range(7)])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[2], drawn[3])
    assert np.array_equal(drawn[3], drawn[5])


def test_actions_fill_the_box_evenly() -> None:
    policy = Uniform().start(PointMaze(), range(100))
    drawn = np.stack([policy.act(np.zeros((100, 4)), time) for time in range(50)])
    assert np.abs(drawn).max() <= 1.0
    assert np.abs(drawn).max() > 0.99
    assert drawn.mean() == pytest.approx(0.0, abs=0.02)
    assert drawn.std() == pytest.approx(0.577, abs=0.01)
