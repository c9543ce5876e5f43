"""Official checkpoints give official numbers; golden tensors come from the official code with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import layer_norm

from worldgrid.predictors import Latent, Predictor, rollout
from worldgrid.predictors.official import Official, official
from worldgrid.spec import ConfigError

MODELS = ["adaln_rope", "adaln_rope_proprio", "feature_learned_proprio", "feature_rope_proprio", "sequence_rope"]
Golden = dict[str, Tensor]

every_model = pytest.mark.parametrize("name", MODELS)


def read(shared: Path, name: str) -> tuple[dict[str, Any], dict[str, Any], Golden]:
    folder = shared / "official_golden" / name
    checkpoint = torch.load(folder / "checkpoint.pth.tar", weights_only=True)
    return checkpoint, yaml.safe_load((folder / "model.yaml").read_text()), load_file(folder / "tensors.safetensors")


def built(translated: Official) -> Predictor:
    predictor = translated.predictor.build(translated.shapes)
    predictor.load_state_dict(translated.weights)
    return predictor.eval().requires_grad_(False)


def patches(visual: Tensor) -> Tensor:
    """`[B, T, 1, rows, columns, D]` -> `[B, T, P, D]`."""
    return visual.flatten(2, 4)


def latent(golden: Golden, predictor: Predictor, kind: str) -> Latent:
    proprio = golden.get(f"{kind}.proprio")
    return Latent(patches(golden[f"{kind}.visual"]), None if proprio is None else predictor.embed(proprio))


def relative(predicted: Tensor, expected: Tensor) -> float:
    return float((predicted - expected).abs().max() / expected.abs().max())


@every_model
def test_one_pass_over_real_frames_gives_the_official_numbers(shared: Path, name: str) -> None:
    checkpoint, settings, golden = read(shared, name)
    predictor = built(official(checkpoint, settings))
    predicted = predictor(latent(golden, predictor, "frames"), golden["frames.actions"])
    assert relative(predicted.visual, patches(golden["frames.prediction"])) < 1e-5
    assert (predicted.proprio is None) == ("frames.proprio_prediction" not in golden)
    if predicted.proprio is not None:
        assert relative(predicted.proprio, golden["frames.proprio_prediction"]) < 1e-5


def fast(predictor: Predictor, start: Latent, actions: Tensor, context: int) -> Latent:
    return predictor.imagine(start, actions[:, None], context).map(lambda z: z[:, 0])


@every_model
@pytest.mark.parametrize("imagine", [rollout, fast])
def test_a_sliding_window_of_imagined_frames_gives_the_official_numbers(
    shared: Path, name: str, imagine: Callable[[Predictor, Latent, Tensor, int], Latent]
) -> None:
    checkpoint, settings, golden = read(shared, name)
    predictor = built(official(checkpoint, settings))
    actions = golden["input.actions"].transpose(0, 1)
    start = latent(golden, predictor, "input").map(lambda z: z.expand(len(actions), *z.shape[1:]))
    imagined = imagine(predictor, start, actions, settings["context_at_planning"])
    assert relative(imagined.visual, patches(golden["unroll.visual"]).transpose(0, 1)[:, 1:]) < 1e-5
    assert (imagined.proprio is None) == ("unroll.proprio_embedding" not in golden)
    if imagined.proprio is not None:
        assert relative(imagined.proprio, golden["unroll.proprio_embedding"].transpose(0, 1)[:, 1:]) < 1e-5


@every_model
def test_a_missing_weight_is_named(shared: Path, name: str) -> None:
    checkpoint, settings, _ = read(shared, name)
    dropped = next(key for key in checkpoint["predictor"] if key.endswith("qkv.weight"))
    del checkpoint["predictor"][dropped]
    with pytest.raises(ConfigError, match=r"^official checkpoint misses blocks\.0\.attention\.qkv\.weight$"):
        official(checkpoint, settings)


def test_unknown_weights_are_named_and_counted(shared: Path) -> None:
    checkpoint, settings, _ = read(shared, "adaln_rope")
    checkpoint["predictor"] |= {f"module.extra.{index}": torch.zeros(1) for index in range(5)}
    with pytest.raises(ConfigError, match=r"has unknown extra\.0, extra\.1, extra\.2 and 2 more$"):
        official(checkpoint, settings)


def test_weights_of_another_shape_are_refused(shared: Path) -> None:
    checkpoint, settings, _ = read(shared, "adaln_rope")
    with pytest.raises(ConfigError, match=r"has wrong shapes: action\.weight \[48, 10\] instead of \[48, 20\]$"):
        official(checkpoint, settings | {"action_dim": 20})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred_type": "AdaLm"}, "unknown official predictor 'AdaLm'; did you mean 'AdaLN'?"),
        ({"window": "streaming"}, "official setting window: given streaming; sliding fits"),
        ({"use_extrinsics": True}, "official setting use_extrinsics: given True; False fits"),
        ({"use_proprio": True, "proprio_emb_dim": 8, "proprio_encoding": "token"}, "given token; feature fits"),
    ],
)
def test_settings_without_golden_numbers_are_refused(shared: Path, change: dict[str, Any], message: str) -> None:
    checkpoint, settings, _ = read(shared, "adaln_rope")
    with pytest.raises(ConfigError) as refusal:
        official(checkpoint, settings | change)
    assert message in str(refusal.value)


def test_a_setting_that_is_missing_is_named(shared: Path) -> None:
    checkpoint, settings, _ = read(shared, "adaln_rope")
    del settings["pred_depth"]
    with pytest.raises(ConfigError, match=r"^official setting pred_depth: missing$"):
        official(checkpoint, settings)


def test_a_file_that_is_no_checkpoint_is_refused(shared: Path) -> None:
    _, settings, _ = read(shared, "adaln_rope")
    with pytest.raises(ConfigError, match="misses predictor; it has state_dict"):
        official({"state_dict": {}}, settings)


def test_representations_are_normalised_where_they_come_out_and_go_on_so(shared: Path) -> None:
    checkpoint, settings, golden = read(shared, "sequence_rope")
    predictor = built(official(checkpoint, settings | {"normalize_reps": True}))
    window, actions = latent(golden, predictor, "frames"), golden["frames.actions"]
    expected = patches(golden["frames.prediction"])
    assert relative(predictor(window, actions).visual, layer_norm(expected, expected.shape[-1:])) < 1e-5
    start = window.map(lambda z: z[:, :1])
    first = predictor(start, actions[:, :1])
    second = predictor(first, actions[:, 1:2])
    imagined = rollout(predictor, start, actions[:, :2], context=1)
    torch.testing.assert_close(imagined.visual, torch.cat([first.visual, second.visual], dim=1))
