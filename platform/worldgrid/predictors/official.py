"""Official checkpoints (facebookresearch/jepa-wms) as our predictor: settings from settings, names from names.

`_SETTINGS` says which of our settings make which official class. Tests hold the results against golden tensors made
with the official code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from worldgrid.predictors import Shapes
from worldgrid.predictors.transformer import Transformer
from worldgrid.spec import ConfigError, suggest

Settings = Mapping[str, Any]
"""The `model` section of an official configuration, flat."""


class Official(NamedTuple):
    """An official checkpoint in our terms."""

    predictor: Transformer
    shapes: Shapes
    weights: dict[str, Tensor]
    """A state dict of `predictor.build(shapes)`."""


def official(checkpoint: Mapping[str, Any], settings: Settings) -> Official:
    """Translate a checkpoint read with `torch.load(..., weights_only=True)`.

    Raises ConfigError for settings we do not know to be equal, for missing and unexpected weights, and for shapes that
    do not fit.
    """
    kind = _get(settings, "pred_type")
    if kind not in _SETTINGS:
        raise ConfigError(f"unknown official predictor '{kind}'{suggest(str(kind), _SETTINGS)}")
    for name, fits in _KNOWN.items():
        if settings.get(name, fits) != fits:
            raise ConfigError(f"official setting {name}: given {settings[name]}; {fits} fits")
    if _uses_proprio(settings) and _get(settings, "proprio_encoding") != "feature":
        raise ConfigError(f"official setting proprio_encoding: given {settings['proprio_encoding']}; feature fits")
    shapes = Shapes(
        patches=_get(settings, "grid_size") ** 2,
        width=_get(settings, "embed_dim"),
        action=_get(settings, "action_dim"),
        proprio=_get(settings, "proprio_dim"),
    )
    predictor = _SETTINGS[kind](settings)
    weights = _weights(checkpoint, shapes.patches)
    _check(weights, predictor, shapes)
    return Official(predictor, shapes, weights)


_KNOWN: Settings = {
    "use_action": True,
    "action_tokens": 1,
    "proprio_tokens": 0,
    "tubelet_size": 1,
    "use_SiLU": False,
    "use_rope": True,
    "use_extrinsics": False,
    "window": "sliding",
}
"""What the golden checkpoints share; a setting that is absent is taken to be so. dino_wm does not read `use_rope`;
`window` is none of theirs: they were trained to slide, and do not know how to stream."""


def _get(settings: Settings, name: str) -> Any:
    if name not in settings:
        raise ConfigError(f"official setting {name}: missing")
    return settings[name]


def _uses_proprio(settings: Settings) -> bool:
    return bool(settings.get("use_proprio") and settings.get("proprio_emb_dim"))


def _shared(settings: Settings) -> dict[str, Any]:
    """What is said alike for all classes. Official tables hold one frame more than the context W."""
    proprio = {"proprio": "feature", "proprio_width": settings["proprio_emb_dim"]} if _uses_proprio(settings) else {}
    return {
        "context": _get(settings, "num_frames_pred") - 1,
        "depth": _get(settings, "pred_depth"),
        "heads": _get(settings, "pred_num_heads"),
        "proprio": "none",
        "normalise": bool(settings.get("normalize_reps")),
    } | proprio


def _adaln(settings: Settings) -> Transformer:
    factor = float(settings.get("init_scale_factor_adaln", 10.0))
    return Transformer(
        conditioning="adaln", width=_get(settings, "pred_embed_dim"), modulation=factor, **_shared(settings)
    )


def _vjepa2_ac(settings: Settings) -> Transformer:
    width, shared = _get(settings, "pred_embed_dim"), _shared(settings)
    if _get(settings, "action_conditioning") == "token":
        return Transformer(conditioning="sequence", width=width, **shared)
    return Transformer(conditioning="feature", width=width, action_width=_get(settings, "action_emb_dim"), **shared)


def _dino_wm(settings: Settings) -> Transformer:
    return Transformer(
        conditioning="feature",
        positions="learned",
        width=None,
        head_width=64,
        hidden=2048,
        action_width=_get(settings, "action_emb_dim"),
        dropout=0.1,
        qkv_bias=False,
        norm_eps=1e-5,
        init="torch",
        **_shared(settings),
    )


_SETTINGS: dict[str, Callable[[Settings], Transformer]] = {
    "AdaLN": _adaln,
    "vjepa2_ac": _vjepa2_ac,
    "dino_wm": _dino_wm,
}

_RENAMED = [
    (r"action_encoder\.(?:patch_embed\.)?", "action."),
    (r"proprio_encoder\.(?:patch_embed\.)?", "proprio."),
    (r"predictor_embed\.", "read_in."),
    (r"predictor_proj\.", "read_out."),
    (r"(?:predictor_norm|transformer\.norm)\.", "norm."),
    (r"predictor_blocks\.(\d+)\.(norm[12])\.", r"blocks.\1.\2."),
    (r"predictor_blocks\.(\d+)\.attn\.qkv\.", r"blocks.\1.attention.qkv."),
    (r"predictor_blocks\.(\d+)\.attn\.proj\.", r"blocks.\1.attention.out."),
    (r"predictor_blocks\.(\d+)\.mlp\.fc1\.", r"blocks.\1.mlp.hidden."),
    (r"predictor_blocks\.(\d+)\.mlp\.fc2\.", r"blocks.\1.mlp.out."),
    (r"predictor_blocks\.(\d+)\.adaLN_modulation\.1\.", r"blocks.\1.modulation."),
    (r"pos_embedding$", "positions.table"),
    (r"transformer\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.norm1."),
    (r"transformer\.layers\.(\d+)\.0\.to_qkv\.", r"blocks.\1.attention.qkv."),
    (r"transformer\.layers\.(\d+)\.0\.to_out\.0\.", r"blocks.\1.attention.out."),
    (r"transformer\.layers\.(\d+)\.1\.net\.0\.", r"blocks.\1.norm2."),
    (r"transformer\.layers\.(\d+)\.1\.net\.1\.", r"blocks.\1.mlp.hidden."),
    (r"transformer\.layers\.(\d+)\.1\.net\.4\.", r"blocks.\1.mlp.out."),
]
"""Beginnings of official names (AdaLN and vjepa2_ac, then dino_wm) and what they are called here."""

_MASK = re.compile(r"transformer\.layers\.\d+\.0\.bias$")
"""dino_wm stores its attention mask under this name."""


def _weights(checkpoint: Mapping[str, Any], patches: int) -> dict[str, Tensor]:
    """Every weight of the predictor and of the encoders of actions and proprioception, under our names."""
    if "predictor" not in checkpoint:
        raise ConfigError(f"official checkpoint misses predictor; it has {_first(checkpoint)}")
    found: dict[str, Tensor] = dict(checkpoint["predictor"])
    for part in ("action_encoder", "proprio_encoder"):
        found |= {
            f"{part}.{name.removeprefix('module.')}": tensor for name, tensor in (checkpoint.get(part) or {}).items()
        }
    weights = {}
    for full, tensor in found.items():
        name = full.removeprefix("module.")
        if not _MASK.match(name):
            ours = _ours(name)
            weights[ours] = _shaped(ours, tensor, patches)
    return weights


def _ours(name: str) -> str:
    for pattern, replacement in _RENAMED:
        renamed, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return renamed
    return name


def _shaped(name: str, tensor: Tensor, patches: int) -> Tensor:
    """Convolutions of kernel 1 become linear layers, the flat table of positions gets its frames."""
    if name == "positions.table":
        return tensor.reshape(-1, patches, tensor.shape[-1])
    return tensor.squeeze(-1) if tensor.ndim == 3 else tensor


def _check(weights: Mapping[str, Tensor], predictor: Transformer, shapes: Shapes) -> None:
    wanted = predictor.skeleton(shapes).state_dict()
    wrong = [
        f"{name} {list(weights[name].shape)} instead of {list(wanted[name].shape)}"
        for name in wanted.keys() & weights.keys()
        if weights[name].shape != wanted[name].shape
    ]
    for problem, names in {
        "misses": wanted.keys() - weights.keys(),
        "has unknown": weights.keys() - wanted.keys(),
        "has wrong shapes:": wrong,
    }.items():
        if names:
            raise ConfigError(f"official checkpoint {problem} {_first(names)}")


def _first(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")
