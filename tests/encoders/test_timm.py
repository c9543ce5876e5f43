"""Vision transformers of timm: their own tokens, whatever they are called and wherever their weights lie."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate

from worldgrid.encoders import ENCODERS, EncoderSpec
from worldgrid.envs import ENVS, EnvSpec
from worldgrid.experiment import Experiment
from worldgrid.spec import ConfigError
from worldgrid.stages.encode import load_encoder

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def wall(size: int) -> EnvSpec:
    return ENVS.parse({"kind": "wall", "size": size})


def frames(size: int) -> Tensor:
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def made(**settings: object) -> EncoderSpec:
    return ENCODERS.parse({"kind": "timm", **settings})


def save(folder: Path, name: str, **settings: int) -> Path:
    """Weights that are all random, as timm makes them."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=0, **settings)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else 0.05)
    path = folder / "model.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DINOv2-S as it is published: with positions for 518 pixels."""
    return save(tmp_path_factory.mktemp("small"), "vit_small_patch14_dinov2")


def reference(name: str, path: Path, size: int, colours: Tensor) -> Tensor:
    """The library's own forward of the library's own loading."""
    network = timm.create_model(
        name, pretrained=True, num_classes=0, img_size=size, pretrained_cfg_overlay={"file": str(path)}
    ).eval()
    with torch.no_grad():
        features = network.forward_intermediates(
            colours, indices=1, norm=True, intermediates_only=True, output_fmt="NLC"
        )
    return features[-1]


def test_dinov2_gives_the_librarys_own_patch_tokens(small: Path) -> None:
    seen = frames(224)
    encoder = made(model="dinov2_vits14", checkpoint=str(small)).build(wall(224))
    tokens = encoder(seen)
    assert tokens.shape == (2, encoder.patches, encoder.width) == (2, 256, 384)
    colours = ((seen / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    torch.testing.assert_close(tokens, reference("vit_small_patch14_dinov2", small, 224, colours))


@pytest.mark.parametrize(
    ("model", "name", "size", "patches"),
    [
        ("dinov2_vits14_reg", "vit_small_patch14_reg4_dinov2", 112, 64),
        ("dinov3_vits16", "vit_small_patch16_dinov3", 128, 64),
    ],
)
def test_class_and_register_tokens_are_dropped(tmp_path: Path, model: str, name: str, size: int, patches: int) -> None:
    seen, path = frames(size), save(tmp_path, name)
    tokens = made(model=model, checkpoint=str(path), image_norm="half").build(wall(size))(seen)
    assert tokens.shape == (2, patches, 384)
    torch.testing.assert_close(tokens, reference(name, path, size, (seen / 127.5 - 1).permute(0, 3, 1, 2)))


def test_positions_can_be_resampled_as_torch_hub_does(small: Path) -> None:
    stored = timm.models.load_state_dict(str(small))["pos_embed"]
    image = stored[0, 1:].T.reshape(1, 384, 37, 37)
    resized = interpolate(image, scale_factor=16.1 / 37, mode="bicubic", antialias=False)
    encoder = made(checkpoint=str(small), resample="hub").build(wall(224))
    torch.testing.assert_close(encoder.network.pos_embed[0, 1:], resized[0].reshape(384, 256).T)
    torch.testing.assert_close(encoder.network.pos_embed[0, :1], stored[0, :1])


def test_nothing_of_it_learns(small: Path) -> None:
    encoder = made(checkpoint=str(small)).build(wall(224))
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(
    "spelling",
    [
        "vit_small_patch14_dinov2.lvd142m",
        "vit_small_patch14_dinov2",
        "dinov2_vits14",
        "facebook/dinov2-small",
        "timm/vit_small_patch14_dinov2.lvd142m",
        "hf-hub:timm/vit_small_patch14_dinov2.lvd142m",
    ],
)
def test_every_spelling_is_the_same_model(spelling: str) -> None:
    assert made(model=spelling) == made(model="vit_small_patch14_dinov2.lvd142m")


@pytest.mark.parametrize(
    ("name", "spellings"),
    {
        "vit_small_patch14_dinov2.lvd142m": ["dinov2_vits14", "facebook/dinov2-small"],
        "vit_base_patch14_reg4_dinov2.lvd142m": ["dinov2_vitb14_reg", "facebook/dinov2-with-registers-base"],
        "vit_large_patch14_reg4_dinov2.lvd142m": ["dinov2_vitl14_reg", "facebook/dinov2-with-registers-large"],
        "vit_small_patch16_dinov3.lvd1689m": ["dinov3_vits16", "facebook/dinov3-vits16-pretrain-lvd1689m"],
        "vit_large_patch16_dinov3.lvd1689m": ["dinov3_vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m"],
    }.items(),
)
def test_the_studys_models_have_three_spellings_each(name: str, spellings: list[str]) -> None:
    architecture, _, tag = name.partition(".")
    assert tag in timm.list_pretrained(f"{architecture}.*")[0]
    assert [made(model=spelling).model for spelling in spellings] == [name, name]


def test_a_model_of_timm_that_the_study_does_not_use_gets_its_usual_weights() -> None:
    assert made(model="vit_tiny_patch16_224").model == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "dinov2_vitz14"}, "did you mean 'dinov2_vits14'?"),
        ({"model": "vit_tiny_patch16_224.imagenet"}, "has no weights 'imagenet'; there are augreg_in21k"),
        ({"model": "dinov3_vits16", "resample": "hub"}, "timm does"),
    ],
)
def test_what_timm_does_not_have_is_refused_in_one_line(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        made(**settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_size_that_the_patches_do_not_fill_is_refused_before_anything_runs() -> None:
    settings = {"env": {"kind": "wall", "size": 256}, "encoder": {"kind": "timm", "model": "dinov2_vits14"}}
    with pytest.raises(ConfigError, match=r"env.size: given 256; a multiple .*\(14\) fits, like 224, 252, 266"):
        Experiment.parse(settings)


@pytest.mark.parametrize("model", ["dinov2_vitb14", "dinov3_vits16", "vit_small_patch16_224"])
def test_the_weights_of_another_model_are_refused_in_one_line(small: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="not the weights of") as error:
        made(model=model, checkpoint=str(small)).build(wall(224 if "14" in model else 256))
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_refused_in_one_line(small: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    half.write_bytes(small.read_bytes()[:100_000])
    with pytest.raises(ConfigError, match=r"half.safetensors: damaged"):
        made(checkpoint=str(half)).build(wall(224))


def step_key(checkpoint: Path, model: str = "dinov2_vits14") -> str:
    encoder = {"kind": "timm", "model": model, "checkpoint": str(checkpoint)}
    return Experiment.parse({"env": {"kind": "wall", "size": 224}, "encoder": encoder}).training().inputs["latents"].key


def test_the_key_knows_what_the_weights_contain_and_not_where_they_lie(small: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.safetensors").write_bytes(small.read_bytes())
    assert step_key(small) == step_key(elsewhere)
    other = save(tmp_path, "vit_small_patch14_dinov2", img_size=224)
    assert step_key(small) != step_key(other)


def test_every_spelling_has_the_same_key(small: Path) -> None:
    spellings = ["dinov2_vits14", "facebook/dinov2-small", "vit_small_patch14_dinov2.lvd142m"]
    assert len({step_key(small, spelling) for spelling in spellings}) == 1


def test_a_stage_finds_the_weights_and_notices_when_they_are_others(small: Path, tmp_path: Path) -> None:
    path = save(tmp_path, "vit_small_patch14_dinov2", img_size=112)
    settings = {"env": {"kind": "wall", "size": 112}, "encoder": {"kind": "timm", "checkpoint": str(path)}}
    step = Experiment.parse(settings).training().inputs["latents"]
    assert load_encoder(step, None).patches == 64
    path.write_bytes(small.read_bytes())
    with pytest.raises(ConfigError, match="are not those of encode-"):
        load_encoder(step, None)
