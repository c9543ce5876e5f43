"""Transformer blocks that are causal over frames, one for each way an action can enter them.

B clips, T frames, L tokens in each, D width, h heads, d head width. Tokens stay `[B, T, L, D]`, so that what belongs to
a frame, such as its action, broadcasts over the frame's tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention, silu


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


class Heads(nn.Module):
    """What both attentions have: heads, causality over frames, and the way out."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.out = nn.Linear(sizes.heads * sizes.head_width, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)

    def split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """`[B, T, L, parts * h * d]` -> `parts` times `[B, h, T * L, padded d]`."""
        heads: Tensor = projected.flatten(1, 2).unflatten(-1, (parts, self.sizes.heads, self.sizes.head_width))
        if self.sizes.padded > self.sizes.head_width:
            heads = pad(heads, (0, self.sizes.padded - self.sizes.head_width))
        return tuple(heads.permute(2, 0, 3, 1, 4).unbind())

    def look(self, queries: Tensor, keys: Tensor, values: Tensor, frames: int) -> Tensor:
        """Tokens of frame t see all tokens of frames <= t: `[B, h, T * L, padded d]` each -> `[B, T, L, D]`.

        One unmasked call per frame computes only what is seen, and no mask keeps fused kernels away.
        """
        asking, known = queries.shape[2] // frames, keys.shape[2] // frames
        seen = [
            scaled_dot_product_attention(
                queries[:, :, t * asking : (t + 1) * asking],
                keys[:, :, : (t + 1) * known],
                values[:, :, : (t + 1) * known],
                dropout_p=self.drop.p if self.training else 0.0,
                scale=self.sizes.head_width**-0.5,
            )
            for t in range(frames)
        ]
        merged = torch.stack(seen, dim=1)[..., : self.sizes.head_width].transpose(2, 3).flatten(3)
        looked: Tensor = self.drop(self.out(merged))
        return looked


@final
class Attention(Heads):
    """Tokens look at the tokens of their own and of earlier frames."""

    def __init__(self, sizes: Sizes, turn: nn.Module) -> None:
        """`turn` gives queries and keys their positions, `[B, h, n, d]` -> the same."""
        super().__init__(sizes)
        self.turn = turn
        self.qkv = nn.Linear(sizes.width, 3 * sizes.heads * sizes.head_width, bias=sizes.qkv_bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, T, L, D]` -> what they saw, `[B, T, L, D]`."""
        queries, keys, values = self.split(self.qkv(tokens), 3)
        return self.look(self.turn(queries), self.turn(keys), values, tokens.shape[1])


@final
class CrossAttention(Heads):
    """Tokens look at the action tokens of their own and of earlier frames."""

    def __init__(self, sizes: Sizes, turn: nn.Module, turn_actions: nn.Module) -> None:
        """`turn` gives queries their positions, `turn_actions` keys."""
        super().__init__(sizes)
        self.turn, self.turn_actions = turn, turn_actions
        self.q = nn.Linear(sizes.width, sizes.heads * sizes.head_width, bias=sizes.qkv_bias)
        self.kv = nn.Linear(sizes.width, 2 * sizes.heads * sizes.head_width, bias=sizes.qkv_bias)

    def forward(self, tokens: Tensor, actions: Tensor) -> Tensor:
        """`[B, T, L, D]` tokens and `[B, T, 1, D]` actions -> what the tokens saw, `[B, T, L, D]`."""
        (queries,) = self.split(self.q(tokens), 1)
        keys, values = self.split(self.kv(actions), 2)
        return self.look(self.turn(queries), self.turn_actions(keys), values, tokens.shape[1])


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

    def __init__(self, sizes: Sizes, turn: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = sizes.norm(), sizes.norm()
        self.attention, self.mlp = Attention(sizes, turn), MLP(sizes)

    @abstractmethod
    def forward(self, tokens: Tensor, action: Tensor) -> Tensor:
        """`[B, T, L, D]` tokens and the `[B, T, 1, D]` action taken in each frame -> `[B, T, L, D]`."""


@final
class PlainBlock(Block):
    """For actions that are among the tokens or their channels already; here they are not looked at."""

    def forward(self, tokens: Tensor, action: Tensor) -> Tensor:
        """Attention, MLP."""
        seen: Tensor = tokens + self.attention(self.norm1(tokens))
        changed: Tensor = seen + self.mlp(self.norm2(seen))
        return changed


@final
class AdaLNBlock(Block):
    """The action shifts and scales what both norms put out, and gates what is added.

    Source: jepa-wms `AdaLN_vit.py`. Like DiT, with two differences: norms keep weights of their own, and the gate has
    no "+ 1", so that a block whose modulation is 0 changes nothing.
    """

    def __init__(self, sizes: Sizes, turn: nn.Module) -> None:
        super().__init__(sizes, turn)
        self.modulation = nn.Linear(sizes.width, 6 * sizes.width)

    def forward(self, tokens: Tensor, action: Tensor) -> Tensor:
        """Attention, MLP, each modulated."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(silu(action)).chunk(6, dim=-1)
        seen: Tensor = tokens + gate1 * self.attention(self.norm1(tokens) * (1 + scale1) + shift1)
        changed: Tensor = seen + gate2 * self.mlp(self.norm2(seen) * (1 + scale2) + shift2)
        return changed


@final
class FiLMBlock(Block):
    """The action shifts and scales what both norms put out (after FiLM, Perez et al. 2018; not in the study)."""

    def __init__(self, sizes: Sizes, turn: nn.Module) -> None:
        super().__init__(sizes, turn)
        self.modulation = nn.Linear(sizes.width, 4 * sizes.width)

    def forward(self, tokens: Tensor, action: Tensor) -> Tensor:
        """Attention, MLP, each modulated."""
        shift1, scale1, shift2, scale2 = self.modulation(silu(action)).chunk(4, dim=-1)
        seen: Tensor = tokens + self.attention(self.norm1(tokens) * (1 + scale1) + shift1)
        changed: Tensor = seen + self.mlp(self.norm2(seen) * (1 + scale2) + shift2)
        return changed


@final
class CrossBlock(Block):
    """Between attention and MLP the tokens look at the actions so far (not in the study)."""

    def __init__(self, sizes: Sizes, turn: nn.Module, turn_actions: nn.Module) -> None:
        super().__init__(sizes, turn)
        self.norm_cross = sizes.norm()
        self.cross = CrossAttention(sizes, turn, turn_actions)

    def forward(self, tokens: Tensor, action: Tensor) -> Tensor:
        """Attention, cross-attention, MLP."""
        seen: Tensor = tokens + self.attention(self.norm1(tokens))
        seen = seen + self.cross(self.norm_cross(seen), action)
        changed: Tensor = seen + self.mlp(self.norm2(seen))
        return changed
