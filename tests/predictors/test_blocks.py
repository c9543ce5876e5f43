"""Attention that is causal over frames, against one masked call."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from worldgrid.predictors.blocks import Attention, CrossAttention, Sizes

FRAMES, TOKENS, CLIPS = 3, 5, 2


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
    attention = Attention(of, nn.Identity())
    tokens = torch.randn(CLIPS, FRAMES, TOKENS, of.width)
    queries, keys, values = (heads(part, of) for part in attention.qkv(tokens.flatten(1, 2)).chunk(3, dim=-1))
    masked = scaled_dot_product_attention(queries, keys, values, attn_mask=seen(TOKENS))
    expected = attention.out(masked.transpose(1, 2).flatten(2)).view_as(tokens)
    torch.testing.assert_close(attention(tokens), expected)


def test_cross_attention_sees_the_actions_so_far() -> None:
    torch.manual_seed(0)
    of = sizes()
    attention = CrossAttention(of, nn.Identity(), nn.Identity())
    tokens, actions = torch.randn(CLIPS, FRAMES, TOKENS, of.width), torch.randn(CLIPS, FRAMES, 1, of.width)
    keys, values = (heads(part, of) for part in attention.kv(actions).chunk(2, dim=-1))
    masked = scaled_dot_product_attention(heads(attention.q(tokens), of), keys, values, attn_mask=seen(1))
    expected = attention.out(masked.transpose(1, 2).flatten(2)).view_as(tokens)
    torch.testing.assert_close(attention(tokens, actions), expected)
