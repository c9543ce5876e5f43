"""One step and one epoch of a training, without Ray."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worldgrid.predictors import Shapes
from worldgrid.predictors.transformer import Transformer
from worldgrid.spec import ConfigError, parse
from worldgrid.training import Clips, Lesson, Train, order

SHAPES = Shapes(patches=4, width=12, action=6, proprio=3)


def settings(**train: Any) -> Train:
    return parse(Train, train, "train")


def lesson(train: Train, **predictor: Any) -> Lesson:
    torch.manual_seed(0)
    small = {"width": 32, "depth": 2, "heads": 2, "context": 2, "proprio": "none"}
    return Lesson(Transformer(**small | predictor).build(SHAPES), train)


def clips(frames: int = 4) -> Clips:
    generator = torch.Generator().manual_seed(1)
    shapes = ((4, 12), (3,), (6,))
    return Clips(*(torch.randn(8, frames, *shape, generator=generator) for shape in shapes))


def test_every_clip_is_seen_once_in_an_epoch_and_in_another_order_in_the_next() -> None:
    starts = np.arange(12)
    first, second = (np.concatenate(list(order(starts, settings(batch=4), epoch, 3))) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == starts.tolist()
    assert first.tolist() != second.tolist()


def test_the_ranks_take_the_batch_between_them() -> None:
    (batch,) = order(np.arange(4), settings(batch=4), 0, 1)
    assert sorted([*batch[0::2], *batch[1::2]]) == [0, 1, 2, 3]


def test_an_epoch_may_be_longer_than_the_data() -> None:
    seen = np.concatenate(list(order(np.arange(6), settings(batch=4), 0, 5)))
    assert len(seen) == 20
    assert min(np.bincount(seen)) >= 3


def test_published_epochs_end_with_the_last() -> None:
    assert settings(epochs=7, publish=3).published() == [3, 6, 7]


@pytest.mark.parametrize("conditioning", ["adaln", "feature", "sequence", "film", "cross"])
@pytest.mark.parametrize("metric", ["mse", "l1", "smooth_l1", "cosine"])
def test_bf16_costs_digits_of_a_loss_that_stays_fp32(conditioning: str, metric: str) -> None:
    exact, rough = (
        lesson(settings(rollout=2, metric=metric, precision=precision), conditioning=conditioning)
        for precision in ("fp32", "bf16")
    )
    one, two = (made(clips(), 0)[0] for made in (exact, rough))
    assert two.dtype == torch.float32
    assert one != two
    torch.testing.assert_close(one, two, rtol=0.02, atol=0.0)


def gradients(made: Lesson) -> Tensor:
    made(clips(), 0)[0].backward()
    return torch.cat([weight.grad.flatten() for weight in made.parameters() if weight.grad is not None])


@pytest.mark.parametrize("proprio", ["none", "feature", "token"])
def test_bf16_gradients_point_the_same_way_and_are_fp32(proprio: str) -> None:
    widths = {"proprio": proprio, "proprio_width": 16}
    exact, rough = (gradients(lesson(settings(precision=precision), **widths)) for precision in ("fp32", "bf16"))
    assert rough.dtype == torch.float32
    assert torch.cosine_similarity(exact, rough, dim=0) > 0.999


def test_a_step_goes_down_and_tells_the_gradients_norm_before_it_was_clipped() -> None:
    made = lesson(settings(lr=1e-3, clip=1e-3))
    before, optimiser = gradients(made), made.settings.optimiser(made)
    first = made(clips(), 0)[0]
    norm = made.descend(first, optimiser)
    torch.testing.assert_close(norm, before.norm(), rtol=1e-4, atol=0)
    assert norm > 1e-3
    assert made(clips(), 0)[0] < first


def test_a_predictor_whose_context_is_too_short_for_its_rollouts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.rollout_window: given 3; at most predictor.context \(2\) fits"):
        lesson(settings(rollout_window=3))(clips(), 0)
