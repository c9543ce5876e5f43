"""Frozen weights from outside: where they are, what they contain, and whether a network is what they were made for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from worldgrid.encoders import Frozen
from worldgrid.spec import ConfigError

TENSORS = "model.safetensors"
"""The weights of a folder in the Hugging Face layout."""
SECONDS = 5.0
"""How long the network may take to answer before it counts as not there."""


def frozen(path: Path, *files: str) -> Frozen:
    """Weights at a path with their content: SHA-256 of the file, or of the digests of these files of a folder."""
    digests = [_sha256(file, file.stat().st_mtime_ns, file.stat().st_size) for file in _files(path, files)]
    return Frozen(path, digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())


def _files(path: Path, names: Collection[str]) -> list[Path]:
    return [path / name for name in names] if path.is_dir() else [path]


@lru_cache(maxsize=256)
def _sha256(path: Path, modified: int, size: int) -> str:
    """Read again when a file's time or size has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local(checkpoint: str, fits: str, *names: str) -> Path:
    """What a user named, with these files in it where it is a folder; raises ConfigError that says what `fits`."""
    path = Path(checkpoint).expanduser().absolute()
    if not path.exists():
        raise ConfigError(f"encoder.checkpoint: given '{checkpoint}', which is not there; {fits} fits")
    missing = [file.name for file in _files(path, names) if not file.is_file()]
    if missing:
        raise ConfigError(f"encoder.checkpoint: given '{checkpoint}' without {' and '.join(missing)}; {fits} fits")
    return path


def fetch(repo: str, *names: str, download: bool = True) -> Path:
    """The folder with these files of a Hugging Face repository: this machine's cache, else `download`.

    Raises ConfigError that says what to put where when neither has them, soon also where there is no network.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    try:
        return [Path(hub.hf_hub_download(repo, name, local_files_only=True)) for name in names][-1].parent
    except LocalEntryNotFoundError:
        here = f"encoder: weights of {repo} are not on this machine"
    files = " and ".join(names)
    put = f"put its {files} into a folder and name the folder in encoder.checkpoint"
    token = "set HF_TOKEN to a token of an account that accepted its licence"  # noqa: S105  (advice)
    if not download:
        raise ConfigError(f"{here}; {put}")
    if hub.is_offline_mode():
        raise ConfigError(f"{here} and HF_HUB_OFFLINE is set; unset it, or {put}")
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repo, names[0]), timeout=SECONDS)  # a download asks seven times
        return [Path(hub.hf_hub_download(repo, name)) for name in names][-1].parent
    except GatedRepoError:
        raise ConfigError(f"{here} and are gated; {token}, or {put}") from None
    except Exception as error:  # of the HTTP library that the hub's version happens to use
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{here} and Hugging Face gives none ({reason}); {put}, or where gated {token}") from None


def check_names(needed: Collection[str], there: Collection[str], path: Path) -> None:
    """Raises ConfigError unless all that is needed is there: no weight stays as it was drawn, none is left over."""
    lacking = sorted(set(needed) - set(there))
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ConfigError(f"{path}: not the weights of this encoder.model: no place for {', '.join(lacking[:3])}{more}")


def load(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put weights into a network, which may lie on torch's meta device, as float32; what it does not have is left."""
    wanted = network.state_dict()
    check_names(wanted, tensors, path)
    for name, value in wanted.items():
        given = tensors[name].shape
        if given != value.shape:
            raise ConfigError(f"{path}: {name} is {list(given)}; {list(value.shape)} fits this encoder")
    network.load_state_dict({name: tensors[name].float() for name in wanted}, assign=True)


def below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What lies below a prefix, without it; everything where nothing does."""
    below = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return below or dict(tensors)
