"""The encoder that learns here, as a network; how it learns is tested with the stage `pretrain`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from worldgrid.encoders import ENCODERS, WEIGHTS, Encoder
from worldgrid.envs import ENVS
from worldgrid.resume import weights_of
from worldgrid.spec import ConfigError

FRAMES = torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def made(weights: Path | None = None, size: int = 16, **settings: Any) -> Encoder:
    torch.manual_seed(0)
    small = {"kind": "contrastive", "channels": [4, 8], "latent": 5}
    return ENCODERS.parse(small | settings).build(ENVS.parse({"kind": "wall", "size": size}), weights)


def saved(folder: Path, encoder: Encoder) -> Path:
    save_file(weights_of(encoder), folder / WEIGHTS)
    return folder


@pytest.mark.parametrize("size", [16, 32, 100])
def test_there_are_as_many_tokens_whatever_the_size_of_the_frames(size: int) -> None:
    encoder = made(size=size, grid=2)
    tokens = encoder(torch.zeros(3, size, size, 3, dtype=torch.uint8))
    assert tokens.shape == (3, 4, 5) == (3, encoder.patches, encoder.width)
    assert tokens.dtype == torch.float32


def test_by_default_64_pixels_become_2_by_2_tokens_of_32_numbers() -> None:
    encoder = ENCODERS.parse({"kind": "contrastive"}).build(ENVS.parse({"kind": "wall"}))
    assert (encoder.patches, encoder.width) == (4, 32)


def test_encoding_leaves_the_frames_as_they_are() -> None:
    frames = FRAMES.clone()
    made()(frames)
    assert torch.equal(frames, FRAMES)


def test_tokens_are_in_the_order_of_rows() -> None:
    encoder = made(blocks=0, grid=4, channels=[4])
    changed = FRAMES.clone()
    changed[:, 0:4, 8:12] += 128  # row 0, column 2
    moved = (encoder(changed) != encoder(FRAMES)).any(dim=2).any(dim=0)
    assert moved.nonzero().flatten().tolist() == [2]


def standardised(frames: Tensor) -> Encoder:
    encoder = made()
    encoder.standardise(frames)
    return encoder


def test_a_constant_background_and_its_contrast_make_no_difference_after_standardising() -> None:
    background = torch.arange(16, dtype=torch.uint8)[:, None].expand(16, 16, 3)
    quiet = FRAMES // 8
    torch.testing.assert_close(standardised(quiet)(quiet), standardised(2 * quiet)(2 * quiet), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        standardised(quiet)(quiet), standardised(quiet + background)(quiet + background), rtol=1e-4, atol=1e-5
    )


def test_frames_that_never_change_can_be_standardised() -> None:
    assert standardised(FRAMES[:1])(FRAMES).isfinite().all()


def test_finished_weights_are_frozen_and_say_what_they_said(tmp_path: Path) -> None:
    learned = standardised(FRAMES)
    frozen = made(saved(tmp_path, learned))
    assert not frozen.training
    assert not any(weight.requires_grad for weight in frozen.parameters())
    torch.testing.assert_close(frozen(FRAMES), learned(FRAMES))


def test_a_new_encoder_can_learn() -> None:
    assert all(weight.requires_grad for weight in made().parameters())


def test_weights_of_another_network_are_not_loaded(tmp_path: Path) -> None:
    saved(tmp_path, made(blocks=1))
    with pytest.raises(RuntimeError, match=r"blocks\.1"):
        made(tmp_path, blocks=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 65}, "env.size: given 65; a multiple of 4 fits encoder.grid and channels"),
        ({"heads": 3}, r"heads that divide the last of the channels \(8\) fit"),
        ({"channels": []}, "encoder.channels"),
        ({"channels": [4, 0]}, "encoder.channels"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        made(**settings)
    assert "\n" not in str(error.value)
