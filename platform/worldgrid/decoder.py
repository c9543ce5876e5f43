"""Decoder: latents -> frames, for people to look at. It reads what a frozen encoder made and takes no part in planning.

n frames, P patches, D latent, S side in pixels, C cells per side, K width. After the study's image decoder (jepa-wms
`configs/vjepa_wm/vm2m`): tokens brought to a grid of one per 8 x 8 pixels, a transformer, a linear map to those pixels.
Tokens that are finer keep their grid.
"""

from __future__ import annotations

from math import isqrt
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from worldgrid.spec import ConfigError

PATCH = 8
"""Side in pixels of what one of the decoder's tokens draws (study: 8)."""
HEAD = 24
"""Width of an attention head (study: 384 over 16 heads)."""
CELLS, HEADS, DEPTH = 32, 16, 12
"""The study's small decoder: 32 x 32 tokens of 16 heads through 12 blocks, 21.5 million weights."""


def usual_size(side: int) -> tuple[int, int]:
    """Width and depth for frames of so many pixels: the study's, in proportion to the side, 48 and 2 at least."""
    share = side / PATCH / CELLS
    return HEAD * max(2, round(HEADS * share)), max(2, round(DEPTH * share))


@final
class Decoder(nn.Module):
    """A network from the tokens of one frame to its pixels: how they differ from the mean frame.

    The study's decoders draw pictures of everything and know no mean; that of one data set learns far sooner with it.
    """

    mean: Tensor
    """`[S, S, 3]` frame that is drawn where nothing is told apart."""
    spread: Tensor
    """Deviation of pixels from the mean frame, over all of them."""
    centre: Tensor
    """`[D]` mean of the tokens it learned from."""
    deviation: Tensor
    """`[D]` their deviation."""
    places: Tensor

    def __init__(self, patches: int, latent: int, side: int, width: int, depth: int) -> None:
        """Raises ConfigError where tokens are no square grid, or frames not cut into whole cells."""
        super().__init__()
        self.grid = isqrt(patches)
        if self.grid**2 != patches:
            raise ConfigError(f"decode: given {patches} tokens a frame; a square number fits, for they are laid out")
        self.cells = max(side // PATCH, self.grid)
        if side % self.cells:
            raise ConfigError(f"env.size: given {side}; a multiple of {max(PATCH, self.grid)} fits a decoder")
        self.patch = side // self.cells
        self.register_buffer("mean", torch.zeros(side, side, 3))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("deviation", torch.ones(latent))
        self.register_buffer("places", sincos(self.cells, width), persistent=False)
        self.read_in = nn.Linear(latent, width)
        self.blocks = nn.Sequential(*(_block(width) for _ in range(depth)))
        pixels = nn.Linear(width, self.patch**2 * 3)
        nn.init.zeros_(pixels.weight)  # it begins as the mean frame
        nn.init.zeros_(pixels.bias)
        self.read_out = nn.Sequential(nn.LayerNorm(width), pixels)

    @torch.no_grad()
    def standardise(self, tokens: Tensor, frames: Tensor) -> None:
        """Before learning: take statistics of `[n, P, D]` tokens and `[n, S, S, 3]` uint8 frames of the data."""
        pixels = frames.float().div_(255)
        self.mean.copy_(pixels.mean(dim=0))
        self.spread.copy_(pixels.sub_(self.mean).square_().mean().sqrt_().clamp_min_(1e-3))
        flat = tokens.flatten(0, 1)
        self.centre.copy_(flat.mean(dim=0))
        self.deviation.copy_(flat.std(dim=0).clamp_min(1e-6))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[n, P, D]` tokens -> `[n, S, S, 3]` pixels, 0 to 1 where the drawing is sound."""
        read = self.read_in((tokens - self.centre) / self.deviation)
        square = read.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        spread = interpolate(square, size=(self.cells, self.cells), mode="bilinear", align_corners=False)
        drawn = self.read_out(self.blocks(spread.flatten(2).transpose(1, 2) + self.places))
        tiles = drawn.unflatten(2, (self.patch, self.patch, 3)).unflatten(1, (self.cells, self.cells))
        pixels: Tensor = tiles.permute(0, 1, 3, 2, 4, 5).flatten(1, 2).flatten(2, 3)
        return pixels * self.spread + self.mean

    @torch.inference_mode()
    def draw(self, tokens: Tensor, batch: int = 64) -> Tensor:
        """`[..., P, D]` tokens -> `[..., S, S, 3]` uint8 frames on the CPU, `batch` at a time."""
        flat = tokens.flatten(0, -3).to(self.mean.device).float()
        drawn = [self(part).clamp(0, 1).mul(255).round().to(torch.uint8).cpu() for part in flat.split(batch)]
        frames: Tensor = torch.cat(drawn).unflatten(0, tokens.shape[:-2])
        return frames


def _block(width: int) -> nn.Module:
    """Attention over all tokens, then an MLP, each behind a norm."""
    return nn.TransformerEncoderLayer(
        width, width // HEAD, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )


def sincos(cells: int, width: int) -> Tensor:
    """`[C * C, K]` fixed places of a grid, row after row: half the width for the row, half for the column."""
    rates = 10000.0 ** (-torch.arange(width // 4) / (width // 4))
    angles = torch.arange(cells)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = line[:, None].expand(-1, cells, -1), line[None].expand(cells, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def psnr(drawn: Tensor, real: Tensor) -> Tensor:
    """`[n, S, S, 3]` frames and their originals, both 0 to 1 -> scalar decibels above the mean squared error of all.

    The error is pooled before the logarithm is taken: one exact frame does not make the mean infinite.
    """
    return -10 * mse_loss(drawn, real).clamp_min(1e-10).log10()
