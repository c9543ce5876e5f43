"""The encoder of the first V-JEPA, and the authors' names of its weights. n clips, S side, P patches, D width."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from worldgrid.encoders.weights import below, load
from worldgrid.spec import ConfigError
from worldgrid.tensors import read_tensors

PATCH = 16
"""Side of a patch, pixels."""


@final
class First(nn.Module):
    """The encoder of the first V-JEPA: a plain pre-LN transformer on tubelets of 2 x 16 x 16 (facebookresearch/jepa).

    Its positions are fixed waves for 8 tubelets of 14 x 14 patches, which the checkpoint holds. A clip of one tubelet
    gets them resampled, as the study did: halfway between the fourth and the fifth, and linearly within the image.
    """

    HEADS = 16
    """Of the published L and H."""
    TUBELETS = 8
    """Of the 16 frames it was trained with."""

    def __init__(self, width: int, depth: int, hidden: int, stored: int) -> None:
        super().__init__()
        self.width = width
        self.positions = nn.Parameter(torch.empty(1, stored, width))
        self.patches = nn.Conv3d(3, width, (2, PATCH, PATCH), (2, PATCH, PATCH))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, self.HEADS, hidden, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, clips: Tensor) -> Tensor:
        """`[n, 2, 3, S, S]` -> `[n, P, D]`."""
        tokens = self.patches(clips.transpose(1, 2)).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed

    def resample(self, side: int) -> None:
        """Turn the positions of all tubelets into those of one, for side x side patches."""
        stored = isqrt(self.positions.shape[1] // self.TUBELETS)
        video = self.positions.unflatten(1, (self.TUBELETS, stored, stored)).movedim(-1, 1)
        image = interpolate(video, size=(1, side, side), mode="trilinear")
        self.positions = nn.Parameter(image.flatten(2).transpose(1, 2))


_RENAMED = {
    "pos_embed": "positions",
    "patch_embed.proj": "patches",
    "attn.qkv.": "self_attn.in_proj_",
    "attn.proj": "self_attn.out_proj",
    "mlp.fc1": "linear1",
    "mlp.fc2": "linear2",
}


def _ours(name: str) -> str:
    for theirs, ours in _RENAMED.items():
        name = name.replace(theirs, ours)
    return name


def first_vjepa(path: Path, size: int) -> First:
    """The first V-JEPA from the authors' file; sizes are those of its weights."""
    held = read_tensors(path)
    online = held.get("encoder") or held.get("target_encoder") or held  # the study reads `encoder`, not its average
    tensors = {_ours(name): tensor for name, tensor in below(below(online, "module."), "backbone.").items()}
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    try:
        (hidden, width), (_, stored, _) = tensors["blocks.0.linear1.weight"].shape, tensors["positions"].shape
    except (KeyError, ValueError):
        raise ConfigError(f"{path}: not the weights of a V-JEPA: it has {', '.join(sorted(tensors)[:3])}") from None
    if stored != First.TUBELETS * isqrt(stored // First.TUBELETS) ** 2:
        raise ConfigError(f"{path}: positions of {stored} patches; {First.TUBELETS} square images fit")
    with torch.device("meta"):
        network = First(width, depth, hidden, stored)
    load(network, tensors, path)
    network.resample(size // PATCH)
    return network
