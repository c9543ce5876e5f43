"""V-JEPA on single frames: V-JEPA 2 as its library has it, the first as its formulas say."""

import json
from math import isqrt, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from worldgrid.encoders import ENCODERS, EncoderSpec
from worldgrid.envs import ENVS, EnvSpec
from worldgrid.spec import ConfigError

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
TINY = {
    "hidden_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
}


def wall(size: int) -> EnvSpec:
    return ENVS.parse({"kind": "wall", "size": size})


def frames(size: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def colours(seen: Tensor) -> Tensor:
    return ((seen / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def made(**settings: object) -> EncoderSpec:
    return ENCODERS.parse({"kind": "vjepa", **settings})


def save_second(folder: Path, **sizes: int) -> None:
    """V-JEPA 2 with random weights, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    network = transformers.VJEPA2Model(transformers.VJEPA2Config(**sizes))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else 0.05)
    network.save_pretrained(folder)


def second(folder: Path, size: int, seen: Tensor) -> Tensor:
    """The library's own forward of the library's own loading."""
    from transformers import VJEPA2Model

    network = VJEPA2Model.from_pretrained(folder, local_files_only=True, crop_size=size).eval()
    clips = colours(seen)[:, None].repeat(1, 2, 1, 1, 1)
    with torch.no_grad():
        tokens: Tensor = network(pixel_values_videos=clips, skip_predictor=True).last_hidden_state
    return tokens


@pytest.mark.parametrize("size", [64, 96])
def test_vjepa_2_gives_the_librarys_own_tokens_of_a_frame_shown_twice(tmp_path: Path, size: int) -> None:
    save_second(tmp_path, **TINY)
    encoder = made(checkpoint=str(tmp_path)).build(wall(size))
    tokens = encoder(frames(size))
    assert tokens.shape == (2, encoder.patches, encoder.width) == (2, (size // 16) ** 2, 48)
    torch.testing.assert_close(tokens, second(tmp_path, size, frames(size)))


@pytest.mark.slow
def test_vjepa_2_l_gives_the_librarys_own_tokens(tmp_path: Path) -> None:
    save_second(tmp_path)
    want = second(tmp_path, 256, frames(256, 1))
    for checkpoint in (tmp_path, tmp_path / "model.safetensors"):
        encoder = made(model="vjepa2_vit_large", checkpoint=str(checkpoint)).build(wall(256))
        assert sum(parameter.numel() for parameter in encoder.parameters()) == pytest.approx(304e6, rel=0.01)
        tokens = encoder(frames(256, 1))
        assert tokens.shape == (1, 256, 1024)
        torch.testing.assert_close(tokens, want)
        del encoder


def test_tokens_can_be_normalised_without_weights(tmp_path: Path) -> None:
    save_second(tmp_path, **TINY)
    plain, normed = (made(checkpoint=str(tmp_path), normalise=on).build(wall(64))(frames(64)) for on in (False, True))
    torch.testing.assert_close(normed, layer_norm(plain, (48,)))


def waves(positions: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of falling frequencies."""
    angles = positions[:, None] * 10_000 ** (-torch.arange(width // 2).double() / (width / 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def video_positions(tubelets: int, side: int, width: int) -> Tensor:
    """`[1, tubelets * side * side, width]`: a third for time, row and column each, as the authors lay them out."""
    time, row, column = torch.meshgrid(*(torch.arange(n).double() for n in (tubelets, side, side)), indexing="ij")
    third = int(np.ceil(width / 6) * 2)
    parts = [waves(axis.flatten(), third) for axis in (time, row, column)]
    return torch.cat(parts, dim=1)[None, :, :width].float()


def save_first(path: Path, width: int = 64, depth: int = 2, side: int = 4) -> dict[str, Tensor]:
    """The first V-JEPA with random weights, as the authors save it; returns them under their names."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, 3, 2, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(depth):
        for name, rows in {"attn.qkv": 3 * width, "attn.proj": width, "mlp.fc1": 4 * width, "mlp.fc2": width}.items():
            columns = 4 * width if name == "mlp.fc2" else width
            shapes[f"blocks.{block}.{name}.weight"], shapes[f"blocks.{block}.{name}.bias"] = (rows, columns), (rows,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{name}.weight"] = shapes[f"blocks.{block}.{name}.bias"] = (width,)
    weights = {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["pos_embed"] = video_positions(8, side, width)
    online = {f"module.backbone.{name}": tensor for name, tensor in weights.items()}
    averaged = {name: torch.zeros_like(tensor) for name, tensor in online.items()}
    torch.save({"encoder": online, "target_encoder": averaged, "predictor": {}, "epoch": 300}, path)
    return weights


def first(weights: dict[str, Tensor], seen: Tensor, depth: int = 2, heads: int = 16) -> Tensor:
    """The first V-JEPA, slowly: one frame, one head at a time."""
    width, side = weights["norm.weight"].shape[0], isqrt(weights["pos_embed"].shape[1] // 8)
    kernel = weights["patch_embed.proj.weight"].sum(dim=2).flatten(1)
    fourth, fifth = weights["pos_embed"][0].unflatten(0, (8, side * side))[3:5]
    result = []
    for image in colours(seen):
        patches = image.unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(side * side, -1)
        x = patches @ kernel.T + weights["patch_embed.proj.bias"] + (fourth + fifth) / 2
        for block in range(depth):
            own = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"blocks.{block}.")}
            normed = layer_norm(x, (width,), own["norm1.weight"], own["norm1.bias"], 1e-6)
            qkv = linear(normed, own["attn.qkv.weight"], own["attn.qkv.bias"]).reshape(-1, 3, heads, width // heads)
            read = [
                torch.softmax(qkv[:, 0, h] @ qkv[:, 1, h].T / sqrt(width // heads), dim=1) @ qkv[:, 2, h]
                for h in range(heads)
            ]
            x = x + linear(torch.cat(read, dim=1), own["attn.proj.weight"], own["attn.proj.bias"])
            normed = layer_norm(x, (width,), own["norm2.weight"], own["norm2.bias"], 1e-6)
            hidden = gelu(linear(normed, own["mlp.fc1.weight"], own["mlp.fc1.bias"]))
            x = x + linear(hidden, own["mlp.fc2.weight"], own["mlp.fc2.bias"])
        result.append(layer_norm(x, (width,), weights["norm.weight"], weights["norm.bias"], 1e-6))
    return torch.stack(result)


def test_the_first_vjepa_is_what_its_formulas_say(tmp_path: Path) -> None:
    weights = save_first(tmp_path / "vitl16.pth.tar")
    encoder = made(model="vjepa_vitl16", checkpoint=str(tmp_path / "vitl16.pth.tar")).build(wall(64))
    tokens = encoder(frames(64))
    assert tokens.shape == (2, encoder.patches, encoder.width) == (2, 16, 64)
    torch.testing.assert_close(tokens, first(weights, frames(64)), rtol=1e-4, atol=1e-5)


def test_the_first_vjepa_stretches_its_positions_to_larger_frames(tmp_path: Path) -> None:
    weights = save_first(tmp_path / "vitl16.pth.tar", side=4)
    encoder = made(model="vjepa_vitl16", checkpoint=str(tmp_path / "vitl16.pth.tar")).build(wall(96))
    fourth, fifth = weights["pos_embed"][0].unflatten(0, (8, 4, 4))[3:5]
    small, large = (fourth + fifth) / 2, encoder.network.positions[0].unflatten(0, (6, 6))
    # pixel centres: 4 patches are as wide as 6, so the third of 6 lies at (2 + 0.5) * 4 / 6 - 0.5 = 1.1667 of 4
    column = small[:, 1] * (1 - 1 / 6) + small[:, 2] / 6
    torch.testing.assert_close(large[2, 2], column[1] * (1 - 1 / 6) + column[2] / 6)


@pytest.mark.slow
def test_the_first_vjepa_l_has_its_published_size(tmp_path: Path) -> None:
    save_first(tmp_path / "vitl16.pth.tar", width=1024, depth=24, side=14)
    encoder = made(model="vjepa_vitl16", checkpoint=str(tmp_path / "vitl16.pth.tar")).build(wall(256))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == pytest.approx(304e6, rel=0.01)
    assert encoder(frames(256, 1)).shape == (1, 256, 1024)


def test_the_second_half_of_a_content_is_the_settings(tmp_path: Path) -> None:
    save_second(tmp_path, **TINY)
    spec = made(checkpoint=str(tmp_path))
    before, config = spec.frozen(), tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": 2}))
    assert spec.frozen() != before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "vjepa2_vit_larg"}, "did you mean 'vjepa2_vit_large'?"),
        ({"model": "vjepa_vitl16"}, "the authors' vitl16.pth.tar"),
        ({"checkpoint": "."}, "without config.json and model.safetensors"),
        ({"checkpoint": "nowhere"}, "which is not there"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(**settings).frozen()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def refused(said: str, size: int = 64, **settings: str) -> None:
    """Building says so in one line."""
    with pytest.raises(ConfigError) as error:
        made(**settings).build(wall(size))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", ["vjepa_vitl16", "vjepa2_vit_large", "facebook/vjepa2-vitg-fpc64-256"])
def test_a_size_that_the_patches_do_not_fill_is_refused_before_weights_are_looked_for(model: str) -> None:
    refused("env.size: given 100; a multiple of the encoder's patch (16) fits", size=100, model=model)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_truncated_files_are_refused(tmp_path: Path, kept: int) -> None:
    save_second(tmp_path, **TINY)
    save_first(tmp_path / "vitl16.pth.tar")
    for model, name in (("vjepa2_vit_large", "model.safetensors"), ("vjepa_vitl16", "vitl16.pth.tar")):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:kept])
        refused(f"{name}: damaged or no file of tensors", model=model, checkpoint=str(path))


class Code:
    """What a hostile pickle holds: it makes a file when it is loaded by an unpickler that obeys."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_with_code_in_it_is_refused_and_its_code_is_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "vitl16.pth.tar", tmp_path / "marker"
    torch.save({"encoder": Code(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.exists(), "the file is not hostile"
    marker.unlink()
    refused("refused: not only tensors and plain values", model="vjepa_vitl16", checkpoint=str(path))
    assert not marker.exists()


def test_the_weights_of_a_smaller_network_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    save_second(tmp_path, **TINY)
    path = tmp_path / "model.safetensors"
    refused("not the weights of this encoder.model", model="vjepa2_vit_large", checkpoint=str(path))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 96}))
    refused("is [48, 3, 2, 16, 16]; [96, 3, 2, 16, 16] fits this encoder", checkpoint=str(tmp_path))


def test_the_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    for model in ("vjepa_vitl16", "vjepa2_vit_large"):
        with pytest.raises(ConfigError, match="not the weights of"):
            made(model=model, checkpoint=str(path)).build(wall(64))
