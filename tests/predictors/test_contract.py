"""What every predictor promises, over the family's table and the transformer's settings."""

import pytest
import torch
from torch import Tensor

from worldgrid.predictors import PREDICTORS, Latent, Predictor, PredictorSpec, Shapes, rollout
from worldgrid.predictors.point import ExactPoint
from worldgrid.predictors.transformer import Transformer

CONTEXT = 3
POINT = Shapes(patches=1, width=2, action=10, proprio=2)
GRID = Shapes(patches=4, width=12, action=6, proprio=3)


def transformer(**settings: object) -> Transformer:
    small = {"depth": 2, "width": 16, "heads": 2, "proprio_width": 4, "action_width": 4, "context": CONTEXT}
    return Transformer(**small | settings)


MEMBERS = {
    "point": (ExactPoint(context=CONTEXT), POINT),
    **{
        f"{conditioning}-{positions}-{proprio}": (
            transformer(conditioning=conditioning, positions=positions, proprio=proprio),
            GRID,
        )
        for conditioning in ("adaln", "feature", "sequence", "film", "cross")
        for positions, proprio in (("rope", "none"), ("rope", "feature"), ("learned", "token"), ("sincos", "feature"))
    },
    **{
        f"{conditioning}-streaming-{proprio}": (
            transformer(conditioning=conditioning, proprio=proprio, window="streaming"),
            GRID,
        )
        for conditioning in ("adaln", "feature", "sequence", "film", "cross")
        for proprio in ("none", "feature", "token")
    },
    "cross-rope-token": (transformer(conditioning="cross", proprio="token"), GRID),
    "sequence-rope-token": (transformer(conditioning="sequence", proprio="token"), GRID),
    "unprojected": (transformer(conditioning="feature", positions="learned", width=None, head_width=5, hidden=7), GRID),
    "residual": (transformer(residual=True), GRID),
    "one-patch": (transformer(conditioning="sequence"), POINT),
}

every_member = pytest.mark.parametrize(("spec", "shapes"), MEMBERS.values(), ids=MEMBERS.keys())


def built(spec: PredictorSpec, shapes: Shapes) -> Predictor:
    """With weights large enough for everything to matter, also where training starts from zero."""
    torch.manual_seed(0)
    predictor = spec.build(shapes).eval()
    for parameter in predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return predictor.requires_grad_(False)


def clip(predictor: Predictor, shapes: Shapes, frames: int = CONTEXT, clips: int = 2) -> tuple[Latent, Tensor]:
    torch.manual_seed(1)
    visual = torch.randn(clips, frames, shapes.patches, shapes.width)
    proprio = torch.randn(clips, frames, shapes.proprio)
    return Latent(visual, predictor.embed(proprio)), torch.randn(clips, frames, shapes.action)


def frames_of(latent: Latent) -> Tensor:
    """`[B, T, numbers]` of everything a latent says."""
    parts = [latent.visual, *([] if latent.proprio is None else [latent.proprio])]
    return torch.cat([part.flatten(2) for part in parts], dim=2)


def test_every_row_of_the_table_is_tested() -> None:
    elsewhere = {"imported"}  # is made of what lies in a store; tests/test_exchange.py
    assert {spec.kind for spec, _ in MEMBERS.values()} == set(PREDICTORS.members) - elsewhere


@every_member
@pytest.mark.parametrize("frames", range(1, CONTEXT + 1))
def test_what_comes_next_has_the_shape_of_what_was(spec: PredictorSpec, shapes: Shapes, frames: int) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes, frames)
    predicted = predictor(window, actions)
    assert predicted.visual.shape == window.visual.shape
    assert (predicted.proprio is None) == (window.proprio is None) == (not spec.uses_proprio)
    if window.proprio is not None:
        assert predicted.proprio.shape == window.proprio.shape


@every_member
def test_a_later_frame_or_action_never_changes_an_earlier_output(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes)
    for frame in range(1, CONTEXT):
        later = torch.zeros(CONTEXT)
        later[frame:] = 1.0
        changed = window.map(lambda z, later=later: z + later.view(1, -1, 1, 1))
        expected = frames_of(predictor(window, actions))[:, :frame]
        assert torch.equal(frames_of(predictor(changed, actions + later[:, None]))[:, :frame], expected)


@every_member
def test_the_action_taken_in_a_frame_changes_what_follows_it(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes)
    for frame in range(CONTEXT):
        other = actions.clone()
        other[:, frame] += 1.0
        moved = (frames_of(predictor(window, other)) - frames_of(predictor(window, actions))).abs()
        assert moved[:, frame].max() > 1e-3


@every_member
def test_a_shorter_window_predicts_the_same_beginning(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes)
    begun = predictor(window.map(lambda z: z[:, :2]), actions[:, :2])
    torch.testing.assert_close(frames_of(begun), frames_of(predictor(window, actions))[:, :2])


@every_member
@pytest.mark.parametrize("context", range(1, CONTEXT + 1))
@pytest.mark.parametrize("frames", [1, 4])
def test_what_it_imagines_is_what_the_reference_rolls_out(
    spec: PredictorSpec, shapes: Shapes, context: int, frames: int
) -> None:
    if spec.streaming:  # plans with the context it was made for
        spec = spec.model_copy(update={"context": context})
    predictor = built(spec, shapes)
    start, _ = clip(predictor, shapes, frames)
    actions = torch.randn(2, 3, frames - 1 + 4, shapes.action)
    imagined = predictor.imagine(start, actions, context)
    expected = rollout(predictor, start.repeat(3), actions.flatten(0, 1), context)
    assert imagined.visual.shape == (2, 3, 4, shapes.patches, shapes.width)
    difference = frames_of(imagined.map(lambda z: z.flatten(0, 1))) - frames_of(expected)
    assert difference.norm() < 1e-5 * frames_of(expected).norm()


@every_member
def test_clips_of_a_batch_do_not_mix(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes)
    alone = predictor(window.map(lambda z: z[:1]), actions[:1])
    torch.testing.assert_close(frames_of(alone), frames_of(predictor(window, actions))[:1])


@every_member
def test_a_seed_names_the_weights(spec: PredictorSpec, shapes: Shapes) -> None:
    def weights(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return list(spec.build(shapes).state_dict().values())

    assert all(torch.equal(first, again) for first, again in zip(weights(5), weights(5), strict=True))
    assert spec.kind == "point" or any(
        not torch.equal(one, two) for one, two in zip(weights(5), weights(6), strict=True)
    )


@every_member
def test_gradients_reach_the_actions_through_frozen_weights(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes)
    window, actions = clip(predictor, shapes)
    actions.requires_grad_()
    frames_of(predictor(window, actions)).square().sum().backward()
    assert actions.grad is not None
    assert actions.grad.abs().amax(dim=(0, 2)).min() > 0
    assert all(parameter.grad is None for parameter in predictor.parameters())


@every_member
def test_every_weight_learns(spec: PredictorSpec, shapes: Shapes) -> None:
    predictor = built(spec, shapes).requires_grad_(True)
    window, actions = clip(predictor, shapes)
    actions.requires_grad_()
    frames_of(predictor(window, actions)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in predictor.parameters())
