"""Rotary positions, against the published rule written out number by number."""

import math

import numpy as np
import pytest
import torch

from worldgrid.predictors.positions import places
from worldgrid.predictors.rotary import Rotary


def turned(vector: list[float], place: tuple[float, float, float]) -> list[float]:
    """One head, as V-JEPA 2 turns it: thirds for frame, row, column; pairs of neighbours; frequencies run twice."""
    third = 2 * (len(vector) // 3 // 2)
    result = list(vector)
    for axis, position in enumerate(place):
        for channel in range(third):
            angle = position / 10_000 ** ((channel % (third // 2)) / (third / 2))
            own, partner = axis * third + channel, axis * third + (channel ^ 1)
            sign = 1 if channel % 2 else -1
            result[own] = vector[own] * math.cos(angle) + sign * vector[partner] * math.sin(angle)
    return result


@pytest.mark.parametrize(("head_width", "padded"), [(24, 24), (25, 32), (64, 64), (6, 8)])
def test_heads_turn_by_the_published_rule(head_width: int, padded: int) -> None:
    where = places(frames=2, conditions=1, patches=9)
    torch.manual_seed(0)
    heads = torch.randn(1, 2, 2, 10, head_width, dtype=torch.float64).float()
    expected = torch.tensor(
        [
            [[turned(heads[0, h, t, n].tolist(), tuple(where[t, n])) for n in range(10)] for t in range(2)]
            for h in range(2)
        ]
    )
    stored = torch.nn.functional.pad(heads, (0, padded - head_width))
    result = Rotary(where, head_width, padded)(stored)
    torch.testing.assert_close(result[0, ..., :head_width], expected, atol=2e-6, rtol=0)
    assert not result[..., head_width:].any()


def test_a_shorter_window_turns_like_the_beginning_of_a_longer_one() -> None:
    rotary = Rotary(places(frames=3, conditions=0, patches=4), 12, 16)
    heads = torch.randn(1, 1, 3, 4, 16)
    assert torch.equal(rotary(heads[:, :, :2]), rotary(heads)[:, :, :2])


def test_later_frames_turn_like_the_end_of_a_window() -> None:
    rotary = Rotary(places(frames=3, conditions=0, patches=4), 12, 16)
    heads = torch.randn(1, 1, 3, 4, 16)
    assert torch.equal(rotary(heads[:, :, 1:], first=1), rotary(heads)[:, :, 1:])


def test_condition_tokens_are_turned_by_time_alone() -> None:
    where = places(frames=2, conditions=1, patches=4)
    result = Rotary(where[:, :1], 12, 16)(torch.ones(1, 1, 2, 1, 16))
    assert np.allclose(result[..., 4:], 1.0)
    assert not np.allclose(result[0, 0, 1, 0, :4], 1.0)


def test_tables_are_no_weights() -> None:
    assert not Rotary(places(frames=1, conditions=0, patches=1), 6, 8).state_dict()
