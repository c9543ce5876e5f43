"""Where tokens sit, and the fixed waves that say so."""

import numpy as np
import torch

from worldgrid.predictors.positions import Sincos, places


def test_patches_fill_the_grid_row_by_row_behind_the_conditions() -> None:
    where = places(frames=2, conditions=1, patches=4)
    expected = [[1, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(where[1], expected)


def test_fixed_waves_tell_all_patches_of_a_window_apart() -> None:
    table = Sincos(places(frames=3, conditions=0, patches=16), width=32).table.flatten(0, 1)
    assert torch.cdist(table, table).fill_diagonal_(1.0).min() > 0.1


def test_fixed_waves_are_no_weights() -> None:
    assert not Sincos(places(frames=2, conditions=0, patches=4), width=12).state_dict()
