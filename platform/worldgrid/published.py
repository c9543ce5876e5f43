"""What goes with the study's published checkpoints: statistics of its data, and the settings that weights betray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from worldgrid.spec import JSON, ConfigError, Spec, parse, suggest
from worldgrid.world_model import Normalisation


def _statistics(*columns: tuple[float, ...]) -> Normalisation:
    action_mean, action_std, proprio_mean, proprio_std = columns
    return Normalisation(
        action_mean=action_mean, action_std=action_std, proprio_mean=proprio_mean, proprio_std=proprio_std
    )


STATISTICS = {
    "metaworld": _statistics(
        (0.005724, 0.157357, -0.139646, 0.199819),
        (0.735924, 0.734080, 0.718298, 0.743206),
        (-0.002939, 0.654424, 0.154101, 0.640231),
        (0.104314, 0.112305, 0.079818, 0.261389),
    ),
    "pusht": _statistics(
        (-0.0087, 0.0068),
        (0.2019, 0.2002),
        (236.6155, 264.5674, -2.93032, 2.54308),
        (101.1202, 87.0112, 74.84556, 74.14009),
    ),
    "pointmaze": _statistics(
        (7.82e-5, 6.004e-4),
        (0.576913, 0.577588),
        (1.813056, 1.937713, -0.003928, -0.019778),
        (1.005502, 0.963009, 1.680277, 1.931931),
    ),
    "wall": _statistics((-0.005565, 0.013198), (0.752333, 0.746690), (31.894510, 31.814020), (17.663523, 17.275167)),
}
"""Means and deviations of the study's data (jepa-wms `app/plan_common/datasets/__init__.py`); Push-T's actions are a
hundredth of the recorded ones."""

IDENTITY = "identity"
"""Statistics that change nothing: the study's DROID and RoboCasa."""


def statistics(name: str, action: int, proprio: int) -> Normalisation:
    """Published statistics by name, for model actions of A numbers; raises ConfigError where they do not fit."""
    if name == IDENTITY:
        return _statistics((0.0,) * action, (1.0,) * action, (0.0,) * proprio, (1.0,) * proprio)
    if name not in STATISTICS:
        raise ConfigError(f"unknown statistics '{name}'{suggest(name, [*STATISTICS, IDENTITY])}")
    found = STATISTICS[name]
    if action % len(found.action_mean):
        raise ConfigError(f"statistics '{name}': of {len(found.action_mean)} numbers; model actions have {action}")
    return found


class OfficialSettings(Spec):
    """The official settings that say what a predictor is, the `model` section of an official configuration.

    Others may stand beside them; what they must be, if they are there, `worldgrid.predictors.official` knows.
    """

    model_config = ConfigDict(extra="ignore")

    pred_type: Literal["AdaLN", "dino_wm", "vjepa2_ac"]
    embed_dim: int = Field(ge=1)
    """D: numbers per token of the encoder."""
    grid_size: int = Field(default=16, ge=1)
    """Patches on a side."""
    frames: int = Field(default=4, ge=2, alias="num_frames_pred")
    """One frame more than the context."""
    pred_depth: int = Field(ge=1)
    pred_embed_dim: int = Field(ge=1)
    heads: int = Field(default=16, ge=1, alias="pred_num_heads")
    action_conditioning: Literal["token", "feature"]
    action_dim: int = Field(ge=1)
    action_emb_dim: int = Field(default=0, ge=0)
    use_proprio: bool = False
    proprio_encoding: Literal["token", "feature", "none"] | None = "feature"
    proprio_dim: int = Field(default=0, ge=0)
    proprio_emb_dim: int = Field(default=0, ge=0)


_SECTIONS = ("visual_encoder", "action_encoder", "proprio_encoder", "predictor", "wm_encoding")
"""Parts of the `model` section of an official training file; nothing in them has the same name."""

_LIKE: dict[str, JSON] = {
    "adaln": {"pred_type": "AdaLN", "action_conditioning": "token"},
    "sequence": {"pred_type": "vjepa2_ac", "action_conditioning": "token"},
    "feature": {"pred_type": "vjepa2_ac", "action_conditioning": "feature"},
}
"""What users call a kind of predictor; dino_wm, also `feature`, is told by its table of positions."""


def read_settings(given: Mapping[str, Any], checkpoint: Mapping[str, Any], changes: Mapping[str, Any]) -> JSON:
    """The settings of an official training file or of its `model` section, flat or not; `changes` come last.

    The widths of actions and proprioception stand in none of these files: they are the checkpoint's.
    """
    flat, shapes = _flat(given), _shapes(checkpoint)
    for part in ("action", "proprio"):
        if f"{part}_dim" not in flat and f"{part}_encoder.weight" in shapes:
            flat[f"{part}_dim"] = shapes[f"{part}_encoder.weight"][1]
    flat.setdefault("use_proprio", bool(flat.get("proprio_tokens") or flat.get("proprio_emb_dim")))
    return _checked(flat, changes)


def _flat(given: Mapping[str, Any]) -> JSON:
    section = given.get("model", given)
    if not isinstance(section, Mapping):
        raise ConfigError(f"model settings: given {section!r}; names with values fit")
    parts = [part for name in _SECTIONS if isinstance(part := section.get(name), Mapping)]
    return {name: value for part in [section, *parts] for name, value in part.items()}


def _checked(settings: JSON, changes: Mapping[str, Any]) -> JSON:
    """With the usual values filled in, and without what their predictor does not read."""
    names = {field.alias or name for name, field in OfficialSettings.model_fields.items()}
    for name in changes:
        if name not in names:
            raise ConfigError(f"official model settings have no '{name}'{suggest(name, names)}")
    whole = settings | dict(changes)
    whole |= parse(OfficialSettings, whole, "model settings").model_dump(by_alias=True)
    unread = {"use_rope"} if whole["pred_type"] == "dino_wm" else set()
    unread |= {"action_tokens"} if whole["action_conditioning"] == "feature" else set()
    return {name: value for name, value in whole.items() if name not in unread}


def settings_like(like: str, checkpoint: Mapping[str, Any], changes: Mapping[str, Any]) -> JSON:
    """The settings of a checkpoint of one kind: what the shapes of its weights tell, then the study's usual ones.

    Shapes do not tell grid_size (16), pred_num_heads (16) and num_frames_pred (4). `changes` come last.
    """
    if like not in _LIKE:
        raise ConfigError(f"unknown kind '{like}' of official predictor{suggest(like, _LIKE)}")
    shapes = _shapes(checkpoint)
    try:
        told = _dino_wm(shapes, changes) if like == "feature" and "pos_embedding" in shapes else _rope(shapes, like)
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"not a checkpoint of kind '{like}' ({error})") from None
    return _checked(_LIKE[like] | told, changes)


def encoder_section(given: Mapping[str, Any]) -> JSON | None:
    """The `encoder` section that shows a predictor what it was trained on, as far as its settings say; None: unknown.

    Image normalisation stands in training files alone.
    """
    flat, augmentation = _flat(given), given.get("data_aug")
    kind, version = flat.get("enc_type"), str(flat.get("enc_version"))
    normalise = augmentation.get("normalize") if isinstance(augmentation, Mapping) else None
    norms: dict[str, JSON] = {"[0.5, 0.5, 0.5]": {"image_norm": "half"}, "[0.485, 0.456, 0.406]": {}}
    norm = dict(norms.get(str(normalise[0]), {})) if normalise else {}
    if kind == "dino":
        hub = version.startswith("dinov2") and not version.endswith("_reg")
        return {"kind": "timm", "model": version} | ({"resample": "hub"} if hub else {}) | norm
    norm |= {"normalise": True} if flat.get("normalize_reps") else {}
    if kind == "vjepa" and version == "v1_open":
        return {"kind": "vjepa", "model": "vjepa_vitl16"} | norm
    if kind == "vjepa" and version == "v2_open":
        giant = "giant" in str(flat.get("enc_name"))
        return {"kind": "vjepa", "model": f"vjepa2_vit_{'giant' if giant else 'large'}"} | norm
    return None


def _shapes(checkpoint: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of official weights under plain names, wherever the encoders of actions and proprioception lie."""
    found = {}
    for part in ("predictor", "action_encoder", "proprio_encoder"):
        for full, tensor in (checkpoint.get(part) or {}).items():
            name = full.removeprefix("module.").removeprefix("patch_embed.")
            found[name if part == "predictor" else f"{part}.{name}"] = tuple(tensor.shape)
    return found


def _depth(shapes: Mapping[str, tuple[int, ...]], blocks: str) -> int:
    return len({name.removeprefix(blocks).split(".")[0] for name in shapes if name.startswith(blocks)})


def _proprio(shapes: Mapping[str, tuple[int, ...]], used: bool) -> JSON:
    width, raw = shapes["proprio_encoder.weight"][:2] if used else (0, 0)
    return {"use_proprio": used, "proprio_emb_dim": width, "proprio_dim": raw}


def _dino_wm(shapes: Mapping[str, tuple[int, ...]], changes: Mapping[str, Any]) -> JSON:
    """All channels of a token go through every block: visual, proprioception, action."""
    (_, slots, width), (action, raw) = shapes["pos_embedding"], shapes["action_encoder.weight"][:2]
    proprio = _proprio(shapes, "proprio_encoder.weight" in shapes)
    visual = width - action - proprio["proprio_emb_dim"]
    return proprio | {
        "pred_type": "dino_wm",
        "embed_dim": visual,
        "pred_embed_dim": visual,
        "pred_depth": _depth(shapes, "transformer.layers."),
        "pred_num_heads": shapes["transformer.layers.0.0.to_qkv.weight"][0] // (3 * 64),
        "num_frames_pred": slots // changes.get("grid_size", 16) ** 2,
        "action_dim": raw,
        "action_emb_dim": action,
    }


def _rope(shapes: Mapping[str, tuple[int, ...]], like: str) -> JSON:
    """Blocks are wider than what is read in by the channels of proprioception and, as a feature, of the action."""
    (inner, visual), (action, raw) = shapes["predictor_embed.weight"], shapes["action_encoder.weight"][:2]
    (block,) = shapes["predictor_blocks.0.norm1.weight"]
    channels = action if like == "feature" else 0
    return _proprio(shapes, block > inner + channels) | {
        "embed_dim": visual,
        "pred_embed_dim": inner,
        "pred_depth": _depth(shapes, "predictor_blocks."),
        "action_dim": raw,
        "action_emb_dim": channels,
    }
