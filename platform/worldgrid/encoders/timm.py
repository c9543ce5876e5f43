"""Vision transformers of timm, frozen: DINOv2, DINOv3 or any other, by name. n frames, S side, P patches, D width."""

from __future__ import annotations

import re
from math import isqrt
from pathlib import Path
from typing import Any, Literal, final

import torch
from pydantic import field_validator, model_validator
from torch import Tensor, nn
from torch.nn.functional import interpolate

from worldgrid.encoders import Encoder, EncoderSpec, Frozen
from worldgrid.encoders.images import ImageNorm, Normalise, check_size
from worldgrid.encoders.weights import TENSORS, check_names, fetch, frozen, local
from worldgrid.envs import EnvSpec
from worldgrid.spec import ConfigError, suggest
from worldgrid.tensors import read_tensors

_SPELLINGS = {
    "vit_small_patch14_dinov2.lvd142m": ("dinov2_vits14", "facebook/dinov2-small"),
    "vit_base_patch14_dinov2.lvd142m": ("dinov2_vitb14", "facebook/dinov2-base"),
    "vit_large_patch14_dinov2.lvd142m": ("dinov2_vitl14", "facebook/dinov2-large"),
    "vit_giant_patch14_dinov2.lvd142m": ("dinov2_vitg14", "facebook/dinov2-giant"),
    "vit_small_patch14_reg4_dinov2.lvd142m": ("dinov2_vits14_reg", "facebook/dinov2-with-registers-small"),
    "vit_base_patch14_reg4_dinov2.lvd142m": ("dinov2_vitb14_reg", "facebook/dinov2-with-registers-base"),
    "vit_large_patch14_reg4_dinov2.lvd142m": ("dinov2_vitl14_reg", "facebook/dinov2-with-registers-large"),
    "vit_giant_patch14_reg4_dinov2.lvd142m": ("dinov2_vitg14_reg", "facebook/dinov2-with-registers-giant"),
    "vit_small_patch16_dinov3.lvd1689m": ("dinov3_vits16", "facebook/dinov3-vits16-pretrain-lvd1689m"),
    "vit_small_plus_patch16_dinov3.lvd1689m": ("dinov3_vits16plus", "facebook/dinov3-vits16plus-pretrain-lvd1689m"),
    "vit_base_patch16_dinov3.lvd1689m": ("dinov3_vitb16", "facebook/dinov3-vitb16-pretrain-lvd1689m"),
    "vit_large_patch16_dinov3.lvd1689m": ("dinov3_vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m"),
    "vit_huge_plus_patch16_dinov3.lvd1689m": ("dinov3_vith16plus", "facebook/dinov3-vith16plus-pretrain-lvd1689m"),
}
"""timm's name -> what torch.hub and Hugging Face call the same weights. The study's are DINOv2 S, B-reg and L-reg and
DINOv3 S and L. These are known without importing timm, which takes seconds."""

_KNOWN = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, name.partition(".")[0], *others)}


@final
class Timm(EncoderSpec):
    """Settings of a vision transformer of timm."""

    kind: Literal["timm"] = "timm"
    model: str = "vit_small_patch14_dinov2.lvd142m"
    """timm's name; torch.hub's (`dinov2_vits14`) and Hugging Face's (`facebook/dinov2-small`, `timm/...`) become it."""
    checkpoint: str | None = None
    """The weights: a .safetensors file of timm's names, or a folder with a model.safetensors; null: the pretrained ones
    of that name, from this machine's Hugging Face cache or the network. Keys hold their content, not their place."""
    image_norm: ImageNorm = "imagenet"
    """How colours are normalised."""
    resample: Literal["timm", "hub"] = "timm"
    """How stored positions (DINOv2's are of 518 pixels) become those of env.size: as timm does it, bicubic with
    antialiasing, or as torch.hub's DINOv2 without registers, which is what the study's checkpoints saw. For all other
    models the two are the same."""

    @field_validator("model")
    @classmethod
    def _named(cls, given: str) -> str:
        return resolve(given)

    @model_validator(mode="after")
    def _resampled(self) -> Timm:
        if self.resample == "hub" and not re.fullmatch(r"vit_\w+_patch14_dinov2\..*", self.model):
            raise ValueError("resample: for DINOv2 without registers alone hub fits; timm does")
        return self

    def recipe(self) -> dict[str, object]:
        """Without the weights' place."""
        return super().recipe() | {"checkpoint": None}

    def check(self, env: EnvSpec) -> None:
        """Frames must be whole patches."""
        patch = re.search(r"_patch(\d+)", self.model)
        if patch:
            check_size(env, int(patch[1]))

    def frozen(self, path: Path | None = None, *, download: bool = True) -> Frozen:
        """The file of weights."""
        if path is not None:
            return frozen(path)
        if self.checkpoint is None:
            return frozen(fetch(_repository(self.model), TENSORS, download=download) / TENSORS)
        path = local(self.checkpoint, f"a .safetensors file or a folder with {TENSORS}", TENSORS)
        return frozen(path / TENSORS if path.is_dir() else path)

    def build(self, env: EnvSpec, weights: Path | None = None) -> PatchTokens:
        """The network; raises ConfigError for other weights than its own."""
        self.check(env)
        path = weights or self.frozen().path
        tensors = read_tensors(path)
        if self.resample == "hub":
            tensors["pos_embed"] = resample(tensors["pos_embed"], env.size // 14)
        return PatchTokens(_network(self.model, env.size, tensors, path), Normalise(self.image_norm), env.size)


def resolve(given: str) -> str:
    """timm's name, with the tag of its weights, of what a user may call a model; raises ValueError that says what fits.

    Names of `_SPELLINGS` cost nothing; others import timm.
    """
    name = re.sub(r"^(hf[-_]hub:)?(timm/)?", "", given)
    if name in _KNOWN:
        return _KNOWN[name]
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ValueError(f"a name of timm, torch.hub or Hugging Face fits{_close(name, timm.list_models())}")
    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ValueError(f"{architecture} has no weights '{tag}'{suggest(tag, tags)}")
    pretrained = timm.get_pretrained_cfg(architecture)
    return f"{architecture}.{tag or (pretrained and pretrained.tag) or ''}".removesuffix(".")


def _close(name: str, models: list[str]) -> str:
    found = suggest(name, [*models, *_KNOWN])
    return found if found.startswith("; did") else ", like dinov2_vits14"


def _repository(name: str) -> str:
    """Where Hugging Face has a model's pretrained weights."""
    if name in _SPELLINGS:
        return f"timm/{name}"
    import timm

    pretrained = timm.get_pretrained_cfg(name)
    if pretrained is None or not pretrained.hf_hub_id:
        raise ConfigError(f"encoder.model: {name} has no pretrained weights; with encoder.checkpoint it fits")
    return pretrained.hf_hub_id


def resample(positions: Tensor, side: int) -> Tensor:
    """`[1, 1 + M * M, D]` stored positions -> `[1, 1 + side * side, D]`, as torch.hub's DINOv2 without registers does.

    Bicubic at a scale of (side + 0.1) / M without antialiasing (facebookresearch/dinov2, `vision_transformer.py`).
    """
    first, grid = positions[:, :1], positions[:, 1:].float()
    stored = isqrt(grid.shape[1])
    if stored == side:
        return positions
    image = grid.unflatten(1, (stored, stored)).movedim(-1, 1)
    resized = interpolate(image, scale_factor=(side + 0.1) / stored, mode="bicubic")
    return torch.cat([first.float(), resized.flatten(2).transpose(1, 2)], dim=1)


@final
class PatchTokens(Encoder):
    """The last layer's normalised tokens of the patches; class, register and storage tokens are dropped."""

    def __init__(self, network: Any, normalise: Normalise, size: int) -> None:
        super().__init__()
        self.normalise, self.network = normalise, network
        patch, self.dropped = network.patch_embed.patch_size[0], network.num_prefix_tokens
        self.patches, self.width = (size // patch) ** 2, network.num_features
        # networks that pool before their last norm leave it to the pooled token
        self.norm = network.fc_norm if isinstance(network.norm, nn.Identity) else nn.Identity()
        self.eval().requires_grad_(False)

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 -> `[n, P, D]`, row after row."""
        tokens: Tensor = self.norm(self.network.forward_features(self.normalise(seen)))
        return tokens[:, self.dropped :]


def _network(name: str, size: int, tensors: dict[str, Any], path: Path) -> Any:
    """The network with these weights, every one of them found; timm resamples positions and knows older names."""
    import timm

    overlay = {"state_dict": dict(tensors)}
    try:
        network: Any = timm.create_model(name, True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=size)
    except Exception as error:  # whatever timm trips over in a file that is another network's
        raise ConfigError(f"{path}: not the weights of {name} ({' '.join(str(error).split())[:200]})") from None
    if not hasattr(network, "num_prefix_tokens"):
        raise ConfigError(f"encoder.model: {name} is no vision transformer; one fits, like dinov2_vits14")
    if network.pretrained_cfg["num_classes"]:  # timm is not strict where it drops a classifier
        parameters = dict(network.named_parameters())
        check_names(parameters, tensors, path)
        check_names([held for held in tensors if held.startswith("blocks.")], parameters, path)
    return network
