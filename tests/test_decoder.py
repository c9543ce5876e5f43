"""The decoder's network: shapes, where it begins, what it refuses. n frames, P patches, D latent, S side."""

import pytest
import torch

from worldgrid.decoder import Decoder, psnr, sincos, usual_size
from worldgrid.spec import ConfigError


def drawn_frames(side: int) -> torch.Tensor:
    return torch.randint(0, 256, (20, side, side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(("patches", "side"), [(1, 8), (4, 16), (9, 24), (64, 32)])
def test_tokens_of_any_square_grid_become_frames(patches: int, side: int) -> None:
    decoder = Decoder(patches, 5, side, width=48, depth=1)
    assert decoder(torch.randn(3, patches, 5)).shape == (3, side, side, 3)


def test_before_it_has_learned_it_draws_the_mean_frame() -> None:
    decoder, frames, tokens = Decoder(4, 5, 16, width=48, depth=1), drawn_frames(16), torch.randn(20, 4, 5)
    decoder.standardise(tokens, frames)
    torch.testing.assert_close(decoder(tokens), (frames.float().mean(dim=0) / 255).expand(20, -1, -1, -1))


def test_what_it_draws_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    decoder, tokens = Decoder(4, 5, 16, width=48, depth=1).eval(), torch.randn(5, 2, 4, 5)
    torch.nn.init.normal_(decoder.read_out[1].weight)
    whole = decoder.draw(tokens)
    assert whole.dtype == torch.uint8
    assert whole.shape == (5, 2, 16, 16, 3)
    assert (decoder.draw(tokens, batch=3).int() - whole.int()).abs().max() <= 1


def test_the_studys_small_decoder_is_the_usual_size_of_its_frames() -> None:
    assert usual_size(256) == (384, 12)
    assert usual_size(64) == (96, 3)
    assert usual_size(8) == (48, 2)


def test_every_place_is_another() -> None:
    places = sincos(6, 48)
    apart = torch.cdist(places, places) + torch.eye(36)
    assert places.shape == (36, 48)
    assert apart.min() > 0.1


def test_ten_times_less_squared_error_is_ten_decibels_more() -> None:
    real = torch.full((2, 4, 4, 3), 0.5)
    assert psnr(real + 0.1, real).item() == pytest.approx(20.0, abs=1e-3)
    assert (psnr(real + 0.1 / 10**0.5, real) - psnr(real + 0.1, real)).item() == pytest.approx(10.0, abs=1e-3)
    assert psnr(real, real).isfinite()


def test_what_is_no_square_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="given 6 tokens a frame; a square number fits"):
        Decoder(6, 5, 16, width=48, depth=1)


def test_frames_that_are_no_whole_patches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"env\.size: given 21; a multiple of 8 fits"):
        Decoder(4, 5, 21, width=48, depth=1)
