"""V-JEPA video encoders used on single frames, frozen. n frames, S side, P patches, D width.

Every frame becomes a clip of two equal frames, which is one tubelet and so one grid of tokens (jepa-wms `dup_image`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, final

import torch
from pydantic import field_validator
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from worldgrid.encoders import Encoder, EncoderSpec, Frozen
from worldgrid.encoders.images import ImageNorm, Normalise, check_size
from worldgrid.encoders.vjepa1 import PATCH, First, first_vjepa
from worldgrid.encoders.weights import TENSORS, below, fetch, frozen, load, local
from worldgrid.envs import EnvSpec
from worldgrid.spec import ConfigError, suggest
from worldgrid.tensors import read_tensors

CONFIG = "config.json"
FIRST = "vjepa_vitl16"

_SPELLINGS = {
    "vjepa2_vit_large": "facebook/vjepa2-vitl-fpc64-256",
    "vjepa2_vit_huge": "facebook/vjepa2-vith-fpc64-256",
    "vjepa2_vit_giant": "facebook/vjepa2-vitg-fpc64-256",
    "vjepa_vitl16": FIRST,
}
"""torch.hub's names -> Hugging Face's, and the first V-JEPA, which neither has. The study's are L and g, and the
first L."""


@final
class VJEPA(EncoderSpec):
    """Settings of V-JEPA 2 (through transformers) or of the first V-JEPA (our own)."""

    kind: Literal["vjepa"] = "vjepa"
    model: str = "facebook/vjepa2-vitl-fpc64-256"
    """Hugging Face's or torch.hub's name (`vjepa2_vit_large`), or `vjepa_vitl16`, the first V-JEPA."""
    checkpoint: str | None = None
    """The weights: for V-JEPA 2 a .safetensors file of transformers' names or a folder with a config.json and a
    model.safetensors, null for the pretrained ones from this machine's Hugging Face cache or the network; for the first
    V-JEPA the authors' vitl16.pth.tar. Keys hold their content, not their place."""
    image_norm: ImageNorm = "imagenet"
    """How colours are normalised."""
    normalise: bool = False
    """LayerNorm without weights on the tokens (jepa-wms `normalize_reps`; the study: with V-JEPA 2-AC alone)."""

    @field_validator("model")
    @classmethod
    def _named(cls, given: str) -> str:
        name = _SPELLINGS.get(given, given)
        if name not in _SPELLINGS.values() and not re.fullmatch(r"facebook/vjepa2-vit[lhg]-fpc64-\d+", name):
            known = [*_SPELLINGS, *_SPELLINGS.values()]
            raise ValueError(f"a name of V-JEPA fits{suggest(given, known)}")
        return name

    def recipe(self) -> dict[str, object]:
        """Without the weights' place."""
        return super().recipe() | {"checkpoint": None}

    def check(self, env: EnvSpec) -> None:
        """Frames must be whole patches."""
        check_size(env, PATCH)

    def frozen(self, path: Path | None = None, *, download: bool = True) -> Frozen:
        """The file; or the folder, whose content is that of the network's settings and weights."""
        if self.model == FIRST:
            fits = "the authors' vitl16.pth.tar (facebookresearch/jepa)"
            if path is None and self.checkpoint is None:
                raise ConfigError(f"encoder.checkpoint: missing, and {FIRST} is in no public cache; {fits} fits")
            return frozen(path or local(str(self.checkpoint), fits))
        if path is None and self.checkpoint is None:
            path = fetch(self.model, CONFIG, TENSORS, download=download)
        fits = f"a .safetensors file or a folder with {CONFIG} and {TENSORS}"
        return frozen(path or local(str(self.checkpoint), fits, CONFIG, TENSORS), CONFIG, TENSORS)

    def build(self, env: EnvSpec, weights: Path | None = None) -> FrameTokens:
        """The network; raises ConfigError for other weights than its own."""
        self.check(env)
        path = weights or self.frozen().path
        network = first_vjepa(path, env.size) if self.model == FIRST else _second(self.model, path, env.size)
        return FrameTokens(network, Normalise(self.image_norm), env.size, self.normalise)


@final
class FrameTokens(Encoder):
    """The last layer's normalised tokens of a frame shown twice."""

    def __init__(self, network: First | Second, normalise: Normalise, size: int, normed: bool) -> None:
        super().__init__()
        self.normalise, self.network, self.normed = normalise, network, normed
        self.patches, self.width = (size // PATCH) ** 2, network.width
        self.eval().requires_grad_(False)

    def forward(self, seen: Tensor) -> Tensor:
        """`[n, S, S, 3]` uint8 -> `[n, P, D]`, row after row."""
        frames = self.normalise(seen)
        tokens: Tensor = self.network(torch.stack([frames, frames], dim=1))
        return layer_norm(tokens, (self.width,)) if self.normed else tokens


@final
class Second(nn.Module):
    """The encoder of V-JEPA 2, without its predictor."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder, self.width = encoder, width

    def forward(self, clips: Tensor) -> Tensor:
        """`[n, 2, 3, S, S]` -> `[n, P, D]`."""
        tokens: Tensor = self.encoder(clips).last_hidden_state
        return tokens


_SIZES: dict[str, dict[str, Any]] = {
    "facebook/vjepa2-vitl": {},
    "facebook/vjepa2-vith": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16},
    "facebook/vjepa2-vitg": {
        "hidden_size": 1408,
        "num_hidden_layers": 40,
        "num_attention_heads": 22,
        "mlp_ratio": 48 / 11,
    },
}
"""Of a network whose weights come without a config.json; L is what transformers takes for granted."""


def _second(model: str, path: Path, size: int) -> Second:
    """V-JEPA 2 from a file or folder; its rotary positions count the patches of `size`."""
    try:
        from transformers import VJEPA2Config, VJEPA2Model
    except ImportError:
        raise ConfigError("encoder: V-JEPA 2 needs transformers; pip install 'worldgrid[vjepa]' fits") from None
    try:
        if path.is_dir():
            config = VJEPA2Config.from_pretrained(path, local_files_only=True, crop_size=size)
        else:
            config = VJEPA2Config(crop_size=size, **_SIZES[model.partition("-fpc64")[0]])
    except Exception as error:  # whatever transformers trips over in a file that is something else
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path / CONFIG}: not the settings of a V-JEPA 2 ({reason})") from None
    with torch.device("meta"):
        encoder = VJEPA2Model(config).encoder
    file = path / TENSORS if path.is_dir() else path
    load(encoder, below(read_tensors(file), "encoder."), file)
    return Second(encoder, config.hidden_size)
