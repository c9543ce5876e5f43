"""Pictures of any size and kind."""

import numpy as np
import pytest

from tests.sources.made import pictures
from worldgrid.sources import CorruptError
from worldgrid.sources.pictures import AT_ONCE, frames_of, to_bytes


def test_pictures_of_the_right_size_are_kept_to_the_bit() -> None:
    shown = pictures(2 * AT_ONCE + 3)
    np.testing.assert_array_equal(frames_of(shown, 16), shown)


def test_of_a_wide_picture_the_middle_is_kept() -> None:
    shown = pictures(2, 16, 30)
    np.testing.assert_array_equal(frames_of(shown, 16), shown[:, :, 7:23])


def test_halving_takes_means_of_smooth_pictures() -> None:
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[None, None, :, None], (1, 32, 32, 3))
    halved = frames_of(ramp, 16)[0, 8, 2:-2, 0].astype(float)
    np.testing.assert_allclose(halved, ramp.reshape(1, 32, 16, 2, 3).mean(axis=3)[0, 16, 2:-2, 0], atol=1)


def test_colours_of_any_kind_of_number_become_bytes() -> None:
    shown = pictures(2)
    for kind in (np.uint8, np.float32, np.int64):
        np.testing.assert_array_equal(to_bytes(shown.astype(kind)), shown)


@pytest.mark.parametrize("wrong", [-1.0, 256.0, np.nan])
def test_what_is_no_colour_is_corrupt(wrong: float) -> None:
    with pytest.raises(CorruptError, match="not colours"):
        to_bytes(np.full((1, 2, 2, 3), wrong, np.float32))


def test_colours_of_0_to_1_are_corrupt_rather_than_black() -> None:
    with pytest.raises(CorruptError, match="between 0 and 1"):
        to_bytes(np.full((1, 2, 2, 3), 0.5, np.float32))
