"""Pictures of diagnoses as PNG files."""

import io

import matplotlib.image
import numpy as np
import pytest

from worldgrid.diagnoses import Curves, Maps, Picture, Strip
from worldgrid.drawings import draw

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), np.uint8)
PICTURES: dict[str, Picture] = {
    "curves": Curves("a line", "step", {"one": ([1, 2, 3], [0.5, 1.0, 0.7]), "two": ([1, 2], [0.1, 0.2])}),
    "logarithmic": Curves("decades", "step", {"": ([0.5, 2.5], [1e-3, 1.0])}, "dB", logarithmic=True),
    "maps": Maps("around", {"seen": np.outer(*[np.arange(5.0)] * 2), "true": np.eye(5)}, 1.5, ("x", "y")),
    "strip": Strip("frames", {"real": FRAMES, "shorter": FRAMES[:2]}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_a_png_the_same_bytes_every_time(name: str) -> None:
    first = draw(PICTURES[name])
    assert first == draw(PICTURES[name])
    height, width, _ = matplotlib.image.imread(io.BytesIO(first)).shape
    assert 50 < height < width < 2000


def test_a_strip_is_as_wide_as_its_longest_row() -> None:
    long = Strip("", {"real": FRAMES.repeat(3, axis=0), "goal": FRAMES[:1]})
    first, second = (matplotlib.image.imread(io.BytesIO(draw(one))).shape for one in (PICTURES["strip"], long))
    assert second[1] > 2 * first[1]
    assert second[0] == first[0]
