"""Tensors in files that others made: read whole or refused in one line, and never by running a file's code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from worldgrid.spec import ConfigError


def read_tensors(path: Path) -> dict[str, Any]:
    """What a `.safetensors` or a PyTorch file holds, by name, on the CPU; raises ConfigError when it cannot be had.

    Of a PyTorch file only tensors and plain values are read (`weights_only`): a pickle that would do more is refused.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(f"{path}: refused: not only tensors and plain values ({_reason(error)})") from None
    except Exception as error:  # a damaged file makes its reader raise whatever it likes
        raise ConfigError(f"{path}: damaged or no file of tensors ({_reason(error)})") from None
    if not isinstance(held, Mapping):
        raise ConfigError(f"{path}: holds one {type(held).__name__}; tensors by name fit")
    return {str(name): value for name, value in held.items()}


def _reason(error: Exception) -> str:
    """The line of an error that says most: torch puts what it refused to run into a page of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "GLOBAL" in line]
    return (telling or lines or [type(error).__name__])[0][:160]


def plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as float32."""
    return {name: torch.empty(tensor.shape).copy_(tensor.detach()) for name, tensor in sorted(weights.items())}
