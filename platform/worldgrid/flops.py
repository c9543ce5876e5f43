"""FLOPs of the networks a grid names, from their settings alone: no weights are read and nothing is built.

A multiplication with its addition counts as two. P patches, D latent, S side, T frames, A action.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from worldgrid.encoders import EncoderSpec
from worldgrid.envs import EnvSpec
from worldgrid.predictors import PredictorSpec


class Tokens(NamedTuple):
    """What an encoder makes of a frame, and what that takes."""

    patches: int
    width: int
    flops: float
    """Of one frame's forward pass."""
    parameters: int
    """Weights; of a transformer that is not built, those of its blocks."""


_VIT = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "huge": (1280, 32), "giant": (1536, 40)}
"""Width and depth of the vision transformers by size (Dosovitskiy et al., table 1; DINOv2's giant is 1536 wide)."""
_VJEPA = {"l": (1024, 24), "h": (1280, 32), "g": (1408, 40)}
"""V-JEPA 2's (arXiv 2506.09985, table 12)."""


def tokens(encoder: EncoderSpec, env: EnvSpec) -> Tokens:
    """P, D and the FLOPs per frame of an encoder: transformers by their name, small ones by building them."""
    return _tokens(encoder.kind, encoder, env)


@lru_cache(maxsize=1024)
def _tokens(kind: str, encoder: EncoderSpec, env: EnvSpec) -> Tokens:
    model = str(getattr(encoder, "model", ""))
    if kind == "timm" and (found := re.match(r"vit_(\w+?)(?:_plus)?_patch(\d+)", model)) and found[1] in _VIT:
        width, depth = _VIT[found[1]]
        return _transformer(env.size // int(found[2]), width, depth)
    if kind == "vjepa":
        size = found[1] if (found := re.search(r"vit([lhg])", model)) else "l"
        width, depth = _VJEPA[size]
        return _transformer(env.size // 16, width, depth)
    built = encoder.build(env)
    weights = sum(parameter.numel() for parameter in built.parameters())
    return Tokens(built.patches, built.width, 2.0 * weights * built.patches, weights)


def _transformer(side: int, width: int, depth: int) -> Tokens:
    return Tokens(side**2, width, depth * block(side**2, width, 4 * width), 12 * depth * width**2)


def block(length: int, width: int, hidden: int) -> float:
    """A transformer block over a sequence of `length` tokens: projections, attention, MLP."""
    return length * (8.0 * width * width + 4.0 * width * hidden) + 4.0 * length * length * width


def forward(predictor: PredictorSpec, patches: int, width: int, frames: int) -> float:
    """One forward pass of a predictor over T frames; 0 for members that say nothing of their size."""
    settings = predictor.recipe()
    if "depth" not in settings:
        return 0.0
    inner = settings["width"] or width
    extra = {"sequence": 1}.get(settings["conditioning"], 0) + (settings["proprio"] == "token")
    if settings["conditioning"] == "feature":
        inner += settings["action_width"]
    if settings["proprio"] == "feature":
        inner += settings["proprio_width"]
    length = frames * (patches + extra)
    hidden = settings["hidden"] or 4 * inner
    modulated = 12.0 * frames * inner * inner if settings["conditioning"] in ("adaln", "film") else 0.0
    ends = 4.0 * length * inner * width if settings["width"] else 0.0
    return float(settings["depth"] * (block(length, inner, hidden) + modulated) + ends)
