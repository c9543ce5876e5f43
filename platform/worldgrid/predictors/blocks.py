"""Transformer blocks that are causal over frames, one for each way an action can enter them.

B clips, T frames, L tokens in each, D width, h heads, d head width. Tokens stay `[B, T, L, D]`, so that what belongs to
a frame, such as its action, broadcasts over the frame's tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, addcmul, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention, silu

from worldgrid.predictors.windows import Window

Turns = tuple[nn.Module, nn.Module]
"""What gives queries and keys their positions: `(heads, first slot)` -> the same turned (`windows.Turn`)."""


@dataclass(frozen=True)
class Sizes:
    """The numbers a block is made of."""

    width: int
    """D."""
    heads: int
    head_width: int
    hidden: int
    """Width inside the MLP."""
    qkv_bias: bool
    dropout: float
    norm_eps: float

    @property
    def padded(self) -> int:
        """Head width rounded up to a multiple of 8, as fused attention wants it; zeros change nothing."""
        return -(-self.head_width // 8) * 8

    def norm(self) -> nn.LayerNorm:
        """A LayerNorm of this width."""
        return nn.LayerNorm(self.width, eps=self.norm_eps)


Past = tuple[Tensor, ...]
"""What a block keeps of K frames for those that follow: keys and values, `[B, h, K, L, d]` each, not turned."""


class Heads(nn.Module):
    """What both attentions have: heads, what frames see of each other, and the way out."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__()
        self.sizes, self.window = sizes, window
        self.turn_queries, self.turn_keys = turns
        self.out = nn.Linear(sizes.heads * sizes.head_width, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)

    def split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """`[B, T, L, parts * h * d]` -> `parts` times `[B, h, T, L, padded d]`."""
        heads: Tensor = projected.unflatten(-1, (parts, self.sizes.heads, self.sizes.head_width))
        if self.sizes.padded > self.sizes.head_width:
            heads = pad(heads, (0, self.sizes.padded - self.sizes.head_width))
        return tuple(heads.permute(3, 0, 4, 1, 2, 5).unbind())

    def look(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """`[B, h, T, L, padded d]` queries of the last T of K known frames -> what they saw, `[B, T, L, D]`.

        One unmasked call per frame computes only what is seen, and no mask keeps fused kernels away.
        """
        views = self.window.views(queries, keys, values, self.turn_queries, self.turn_keys)
        dropped, scale = self.drop.p if self.training else 0.0, self.sizes.head_width**-0.5
        padded = [scaled_dot_product_attention(*view, dropout_p=dropped, scale=scale).transpose(1, 2) for view in views]
        seen = [frame[..., : self.sizes.head_width] for frame in padded]
        merged = torch.stack(seen, dim=1) if len(seen) > 1 else seen[0][:, None]
        looked: Tensor = self.drop(self.out(merged.flatten(3)))
        return looked


@final
class Attention(Heads):
    """Tokens look at the tokens of their own and of earlier frames."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__(sizes, window, turns)
        self.qkv = nn.Linear(sizes.width, 3 * sizes.heads * sizes.head_width, bias=sizes.qkv_bias)

    def forward(self, tokens: Tensor, past: Past = (), asking: int | None = None) -> tuple[Tensor, Past]:
        """`[B, T, L, D]` tokens that follow the past -> what the last `asking` frames saw, and all keys and values."""
        queries, keys, values = self.split(self.qkv(tokens), 3)
        if asking is not None:
            queries = queries[:, :, -asking:]
        known = _after(past, (keys, values))
        return self.look(queries, *known), known


@final
class CrossAttention(Heads):
    """Tokens look at the action tokens of their own and of earlier frames."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__(sizes, window, turns)
        self.q = nn.Linear(sizes.width, sizes.heads * sizes.head_width, bias=sizes.qkv_bias)
        self.kv = nn.Linear(sizes.width, 2 * sizes.heads * sizes.head_width, bias=sizes.qkv_bias)

    def forward(self, tokens: Tensor, actions: Tensor, past: Past = ()) -> tuple[Tensor, Past]:
        """`[B, T, L, D]` tokens and `[B, >= T, 1, D]` actions that follow the past -> what tokens saw, and all keys."""
        (queries,) = self.split(self.q(tokens), 1)
        known = _after(past, self.split(self.kv(actions), 2))
        return self.look(queries, *known), known


def _after(past: Past, new: Past) -> Past:
    """Frames after those already known, `[B, h, frames, L, d]` each."""
    return tuple(torch.cat(pair, dim=2) for pair in zip(past, new, strict=True)) if past else new


@final
class MLP(nn.Module):
    """Two linear layers with a GELU between them, the same for every token."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.hidden = nn.Linear(sizes.width, sizes.hidden)
        self.out = nn.Linear(sizes.hidden, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        result: Tensor = self.drop(self.out(self.drop(gelu(self.hidden(tokens)))))
        return result


class Block(nn.Module):
    """What all blocks have: attention and an MLP, each behind a norm (pre-LN)."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__()
        self.norm1, self.norm2 = sizes.norm(), sizes.norm()
        self.attention, self.mlp = Attention(sizes, window, turns), MLP(sizes)

    @abstractmethod
    def forward(
        self, tokens: Tensor, action: Tensor, past: Past = (), asking: int | None = None
    ) -> tuple[Tensor, Past]:
        """`[B, T, L, D]` tokens that follow the past, and the `[B, T, 1, D]` action taken in each frame.

        Gives the last `asking` frames (None: all T), `[B, asking, L, D]`, and the past of frames to come.
        """


@final
class PlainBlock(Block):
    """For actions that are among the tokens or their channels already; here they are not looked at."""

    def forward(
        self, tokens: Tensor, action: Tensor, past: Past = (), asking: int | None = None
    ) -> tuple[Tensor, Past]:
        """Attention, MLP."""
        looked, known = self.attention(self.norm1(tokens), past, asking)
        seen = tokens[:, -looked.shape[1] :] + looked
        return seen + self.mlp(self.norm2(seen)), known


@final
class AdaLNBlock(Block):
    """The action shifts and scales what both norms put out, and gates what is added.

    Source: jepa-wms `AdaLN_vit.py`. Like DiT, with two differences: norms keep weights of their own, and the gate has
    no "+ 1", so that a block whose modulation is 0 changes nothing.
    """

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__(sizes, window, turns)
        self.modulation = nn.Linear(sizes.width, 6 * sizes.width)

    def forward(
        self, tokens: Tensor, action: Tensor, past: Past = (), asking: int | None = None
    ) -> tuple[Tensor, Past]:
        """Attention, MLP, each modulated."""
        modulation = self.modulation(silu(action))
        shift, scale = modulation.chunk(6, dim=-1)[:2]
        looked, known = self.attention(addcmul(shift, self.norm1(tokens), 1 + scale), past, asking)
        frames = looked.shape[1]
        _, _, gate1, shift, scale, gate2 = modulation[:, -frames:].chunk(6, dim=-1)
        seen = addcmul(tokens[:, -frames:], gate1, looked)
        return addcmul(seen, gate2, self.mlp(addcmul(shift, self.norm2(seen), 1 + scale))), known


@final
class FiLMBlock(Block):
    """The action shifts and scales what both norms put out (after FiLM, Perez et al. 2018; not in the study)."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns) -> None:
        super().__init__(sizes, window, turns)
        self.modulation = nn.Linear(sizes.width, 4 * sizes.width)

    def forward(
        self, tokens: Tensor, action: Tensor, past: Past = (), asking: int | None = None
    ) -> tuple[Tensor, Past]:
        """Attention, MLP, each modulated."""
        shift1, scale1, shift2, scale2 = self.modulation(silu(action)).chunk(4, dim=-1)
        looked, known = self.attention(addcmul(shift1, self.norm1(tokens), 1 + scale1), past, asking)
        frames = looked.shape[1]
        seen = tokens[:, -frames:] + looked
        return seen + self.mlp(addcmul(shift2[:, -frames:], self.norm2(seen), 1 + scale2[:, -frames:])), known


@final
class CrossBlock(Block):
    """Between attention and MLP the tokens look at the actions so far (not in the study)."""

    def __init__(self, sizes: Sizes, window: Window, turns: Turns, action_turns: Turns) -> None:
        """`action_turns` are those of tokens that look at actions."""
        super().__init__(sizes, window, turns)
        self.norm_cross = sizes.norm()
        self.cross = CrossAttention(sizes, window, action_turns)

    def forward(
        self, tokens: Tensor, action: Tensor, past: Past = (), asking: int | None = None
    ) -> tuple[Tensor, Past]:
        """Attention, cross-attention, MLP. Its past holds keys and values of the tokens, then of the actions."""
        looked, known = self.attention(self.norm1(tokens), past[:2], asking)
        seen = tokens[:, -looked.shape[1] :] + looked
        looked, acted = self.cross(self.norm_cross(seen), action, past[2:])
        seen = seen + looked
        return seen + self.mlp(self.norm2(seen)), known + acted
