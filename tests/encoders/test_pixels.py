"""Mean colours as tokens."""

import pytest
import torch

from worldgrid.encoders import ENCODERS
from worldgrid.envs import ENVS
from worldgrid.spec import ConfigError

WALL = ENVS.parse({"kind": "wall", "size": 32})


def test_a_token_is_the_mean_colour_of_its_patch_between_0_and_1() -> None:
    encoder = ENCODERS.parse({"kind": "pixels", "patch": 8}).build(WALL)
    frames = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    tokens = encoder(frames)
    assert tokens.shape == (2, encoder.patches, encoder.width) == (2, 16, 3)
    torch.testing.assert_close(tokens[1, 4 * 2 + 3], frames[1, 16:24, 24:32].float().mean(dim=(0, 1)) / 255)


def test_frames_that_are_not_whole_patches_are_refused_with_sizes_that_fit() -> None:
    with pytest.raises(ConfigError, match=r"env.size: given 32; a multiple of the encoder's patch \(5\) fits, like 30"):
        ENCODERS.parse({"kind": "pixels", "patch": 5}).check(WALL)
