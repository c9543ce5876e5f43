"""Attention that is causal over frames, against one masked call."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from worldgrid.predictors.blocks import Attention, CrossAttention, Sizes
from worldgrid.predictors.positions import Unplaced
from worldgrid.predictors.windows import Sliding, Streaming, Window

FRAMES, TOKENS, CLIPS = 3, 5, 2
UNTURNED = (Unplaced(), Unplaced())


def sizes(head_width: int = 8) -> Sizes:
    return Sizes(width=24, heads=3, head_width=head_width, hidden=32, qkv_bias=True, dropout=0.0, norm_eps=1e-6)


def heads(projected: torch.Tensor, of: Sizes) -> torch.Tensor:
    return projected.reshape(CLIPS, -1, of.heads, of.head_width).transpose(1, 2)


def seen(known: int) -> torch.Tensor:
    """`[FRAMES * TOKENS, FRAMES * known]`: which keys a query may look at."""
    asking = torch.arange(FRAMES).repeat_interleave(TOKENS)
    return asking[:, None] >= torch.arange(FRAMES).repeat_interleave(known)[None]


@pytest.mark.parametrize("head_width", [8, 7])
def test_attention_equals_one_call_with_a_frame_causal_mask(head_width: int) -> None:
    torch.manual_seed(0)
    of = sizes(head_width)
    attention = Attention(of, Sliding(), UNTURNED)
    tokens = torch.randn(CLIPS, FRAMES, TOKENS, of.width)
    queries, keys, values = (heads(part, of) for part in attention.qkv(tokens.flatten(1, 2)).chunk(3, dim=-1))
    masked = scaled_dot_product_attention(queries, keys, values, attn_mask=seen(TOKENS))
    expected = attention.out(masked.transpose(1, 2).flatten(2)).view_as(tokens)
    torch.testing.assert_close(attention(tokens)[0], expected)


@pytest.mark.parametrize("window", [Sliding(), Streaming(FRAMES)])
def test_frames_that_follow_a_past_see_what_they_would_have_seen(window: Window) -> None:
    torch.manual_seed(0)
    attention = Attention(sizes(), window, UNTURNED)
    tokens = torch.randn(CLIPS, FRAMES, TOKENS, 24)
    whole, everything = attention(tokens)
    _, past = attention(tokens[:, :1])
    rest, known = attention(tokens[:, 1:], past)
    torch.testing.assert_close(rest, whole[:, 1:])
    for part, expected in zip(known, everything, strict=True):
        torch.testing.assert_close(part, expected)


def test_only_frames_that_ask_are_answered() -> None:
    torch.manual_seed(0)
    attention = Attention(sizes(), Sliding(), UNTURNED)
    tokens = torch.randn(CLIPS, FRAMES, TOKENS, 24)
    torch.testing.assert_close(attention(tokens, asking=1)[0], attention(tokens)[0][:, -1:])


def test_a_streaming_frame_sees_itself_and_the_frames_of_its_band() -> None:
    torch.manual_seed(0)
    attention = Attention(sizes(), Streaming(2), UNTURNED)
    tokens = torch.randn(CLIPS, FRAMES, TOKENS, 24)
    without_first, _ = attention(tokens[:, 1:])
    torch.testing.assert_close(attention(tokens)[0][:, -1], without_first[:, -1])
    assert not torch.allclose(attention(tokens)[0][:, 1], without_first[:, 0])


def test_cross_attention_sees_the_actions_so_far() -> None:
    torch.manual_seed(0)
    of = sizes()
    attention = CrossAttention(of, Sliding(), UNTURNED)
    tokens, actions = torch.randn(CLIPS, FRAMES, TOKENS, of.width), torch.randn(CLIPS, FRAMES, 1, of.width)
    keys, values = (heads(part, of) for part in attention.kv(actions).chunk(2, dim=-1))
    masked = scaled_dot_product_attention(heads(attention.q(tokens), of), keys, values, attn_mask=seen(1))
    expected = attention.out(masked.transpose(1, 2).flatten(2)).view_as(tokens)
    torch.testing.assert_close(attention(tokens, actions)[0], expected)
