"""The transformer: the study's sizes, its initial weights, and what is refused."""

import pytest
import torch
from torch import Tensor

from worldgrid.predictors import Latent, Shapes, join
from worldgrid.predictors.transformer import Transformer
from worldgrid.spec import ConfigError, parse

METAWORLD = Shapes(patches=256, width=384, action=20, proprio=4)
PUSHT = Shapes(patches=256, width=384, action=10, proprio=4)
WALL = Shapes(patches=256, width=384, action=10, proprio=2)
TINY = Shapes(patches=4, width=12, action=6, proprio=3)


def dino_wm(action: int, proprio: int = 0, depth: int = 6) -> Transformer:
    return Transformer(
        conditioning="feature",
        positions="learned",
        depth=depth,
        width=None,
        head_width=64,
        hidden=2048,
        action_width=action,
        proprio="feature" if proprio else "none",
        proprio_width=proprio or 1,
        dropout=0.1,
        qkv_bias=False,
        norm_eps=1e-5,
        init="torch",
    )


# Millions of weights in the official checkpoints (sizes of the .pth.tar files of facebook/jepa-wms).
SIZES = [
    ("dino_wm, Metaworld", dino_wm(20), METAWORLD, 20.30),
    ("dino_wm, Metaworld, proprio", dino_wm(20, 20), METAWORLD, 21.30),
    ("dino_wm, Push-T", dino_wm(10), PUSHT, 19.80),
    ("dino_wm, Push-T, proprio", dino_wm(10, 20), PUSHT, 20.80),
    ("dino_wm, Wall, proprio", dino_wm(10, 10), WALL, 20.30),
    ("dino_wm, depth 3", dino_wm(20, depth=3), METAWORLD, 10.36),
    ("dino_wm, depth 9", dino_wm(20, depth=9), METAWORLD, 30.24),
    ("dino_wm, depth 12", dino_wm(20, depth=12), METAWORLD, 40.18),
    ("dino_wm, DINOv2-B", dino_wm(20), Shapes(256, 768, 20, 4), 39.58),
    ("dino_wm, DINOv2-L", dino_wm(20), Shapes(256, 1024, 20, 4), 52.44),
    ("sequence", Transformer(conditioning="sequence", proprio="none"), METAWORLD, 10.95),
    ("feature with rope", Transformer(conditioning="feature", proprio="none"), METAWORLD, 11.85),
    ("AdaLN, proprio", Transformer(), METAWORLD, 17.63),
    ("AdaLN", Transformer(proprio="none"), METAWORLD, 16.27),
    ("AdaLN, DROID", Transformer(proprio="none", width=1024, depth=12), Shapes(256, 1024, 7, 7), 228.8),
    (
        "V-JEPA 2-AC",
        Transformer(conditioning="sequence", proprio="none", width=1024, depth=24, context=8),
        Shapes(256, 1408, 7, 7),
        305.2,
    ),
]


@pytest.mark.parametrize(("spec", "shapes", "millions"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_sizes_are_those_of_the_official_checkpoints(spec: Transformer, shapes: Shapes, millions: float) -> None:
    digits = len(str(millions).split(".")[1]) if millions > 100 else 2
    assert round(spec.parameters(shapes) / 1e6, digits) == millions


def test_what_is_counted_is_what_is_built() -> None:
    spec = Transformer(width=16, heads=2, depth=2)
    assert spec.parameters(TINY) == sum(parameter.numel() for parameter in spec.build(TINY).parameters())


def test_the_defaults_are_the_reference_model_of_the_paper() -> None:
    spec = Transformer()
    assert (spec.conditioning, spec.positions, spec.proprio) == ("adaln", "rope", "feature")
    assert (spec.depth, spec.width, spec.heads, spec.context) == (6, 384, 16, 3)
    assert spec.sizes(METAWORLD).head_width == 25


@pytest.mark.parametrize("conditioning", ["adaln", "feature", "sequence", "film", "cross"])
def test_variants_can_be_given_equal_size(conditioning: str) -> None:
    wanted = Transformer().parameters(METAWORLD)
    spec = Transformer(conditioning=conditioning, match_parameters=wanted)  # type: ignore[arg-type]
    assert spec.parameters(METAWORLD) == pytest.approx(wanted, rel=5e-4)


def test_a_size_that_cannot_be_matched_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"match_parameters: given 1000; at least \d+ fits"):
        Transformer(match_parameters=1000).parameters(METAWORLD)
    with pytest.raises(ConfigError, match="hidden or match_parameters, not both"):
        parse(Transformer, {"hidden": 8, "match_parameters": 1000}, "predictor")


def test_heads_must_divide_the_width_of_the_blocks() -> None:
    with pytest.raises(ConfigError, match=r"given 3; a divisor of the blocks' width \(80, extra channels included\)"):
        Transformer(width=64, heads=3).parameters(TINY)


def test_rope_needs_heads_wide_enough_for_three_axes() -> None:
    with pytest.raises(ConfigError, match="4 numbers per head are too few for rope; at least 6 fit"):
        Transformer(width=64, proprio="none").parameters(TINY)


def test_rope_needs_a_square_of_patches_and_learned_positions_do_not() -> None:
    oblong = Shapes(patches=6, width=12, action=6, proprio=3)
    with pytest.raises(ConfigError, match="6 patches are no square grid"):
        Transformer(width=16, heads=2, proprio="none").build(oblong)
    Transformer(width=16, heads=2, proprio="none", positions="learned").build(oblong)


def test_streaming_needs_positions_that_can_be_told_apart_later() -> None:
    with pytest.raises(ConfigError, match=r"positions rope fits window streaming: .* given learned"):
        parse(Transformer, {"kind": "transformer", "window": "streaming", "positions": "learned"}, "predictor")


def made(**settings: object) -> tuple[Transformer, Latent, Tensor]:
    torch.manual_seed(0)
    spec = Transformer(**{"width": 64, "heads": 4, "proprio": "none"} | settings)  # type: ignore[arg-type]
    return spec, Latent(torch.randn(2, 3, 4, 12)), torch.randn(2, 3, 6)


def test_adaln_zero_begins_without_the_action() -> None:
    spec, window, actions = made(modulation=0.0)
    predictor = spec.build(TINY)
    straight = predictor.read_out(predictor.norm(predictor.read_in(window.visual)))
    torch.testing.assert_close(predictor(window, actions).visual, straight)


def test_modulations_begin_ten_times_larger_than_other_weights() -> None:
    spec, _, _ = made()
    predictor = spec.build(TINY)
    modulation = torch.stack([block.modulation.weight for block in predictor.blocks])
    assert modulation.std().item() == pytest.approx(0.2, rel=0.02)
    assert predictor.blocks[0].attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_what_later_layers_add_begins_smaller() -> None:
    spec, _, _ = made(conditioning="cross")
    predictor = spec.build(TINY)
    for layer, block in enumerate(predictor.blocks, start=1):
        for part in (block.attention, block.mlp, block.cross):
            assert part.out.weight.std().item() == pytest.approx(0.02 / (2 * layer) ** 0.5, rel=0.05)


def test_a_residual_predictor_adds_to_the_frame_it_sees() -> None:
    spec, window, actions = made(proprio="feature", proprio_width=16)
    window = window._replace(proprio=torch.randn(2, 3, 4, 16))
    absolute = spec.build(TINY)
    change = spec.model_copy(update={"residual": True}).build(TINY)
    read_out = {"proprio_out.weight": torch.eye(16), "proprio_out.bias": torch.zeros(16)}
    change.load_state_dict(absolute.state_dict() | read_out)
    expected, predicted = absolute(window, actions), change(window, actions)
    torch.testing.assert_close(predicted.visual, expected.visual + window.visual)
    torch.testing.assert_close(predicted.proprio, expected.proprio + window.proprio)


@pytest.mark.parametrize("proprio", ["feature", "token"])
def test_a_residual_predictor_begins_by_predicting_that_little_changes(proprio: str) -> None:
    """Else the loss of its proprioception is so large at first that it learns to see nothing in it."""
    spec, window, actions = made(proprio=proprio, proprio_width=16, residual=True, conditioning="adaln")
    window = window._replace(proprio=torch.randn(2, 3, 4 if proprio == "feature" else 1, 16))
    predicted = spec.build(TINY)(window, actions)
    assert (predicted.visual - window.visual).norm() < 0.3 * window.visual.norm()
    assert (predicted.proprio - window.proprio).norm() < 0.3 * window.proprio.norm()


@pytest.mark.parametrize("context", [1, 2, 3])
def test_streaming_rollouts_are_what_was_trained_over_the_whole_clip(context: int) -> None:
    spec, window, _ = made(window="streaming", context=context)
    predictor = spec.build(TINY).eval()
    start, actions = window.last(1), torch.randn(2, 1, 8, 6)
    with torch.no_grad():
        imagined = predictor.imagine(start, actions, context).map(lambda z: z[:, 0])
        whole = predictor(join(start, imagined.map(lambda z: z[:, :-1])), actions[:, 0])
    assert (whole.visual - imagined.visual).norm() < 1e-5 * whole.visual.norm()


def test_a_streaming_prediction_reaches_back_through_every_block() -> None:
    spec, _, _ = made(window="streaming", context=2, depth=2)
    predictor = spec.build(TINY)
    frames = torch.randn(1, 5, 4, 12, requires_grad=True)
    predictor(Latent(frames), torch.randn(1, 5, 6)).visual[:, -1].square().sum().backward()
    assert frames.grad is not None
    assert (frames.grad[0].abs().amax(dim=(1, 2)) > 0).tolist() == [False, False, True, True, True]


def test_dropout_acts_in_training_only() -> None:
    spec, window, actions = made(dropout=0.5)
    predictor = spec.build(TINY)
    assert not torch.equal(predictor(window, actions).visual, predictor(window, actions).visual)
    predictor.eval()
    assert torch.equal(predictor(window, actions).visual, predictor(window, actions).visual)
