"""Everything a training needs to go on as if it had never stopped: weights, the optimiser's moments, how far it is.

Draws and learning rates are functions of the step, so they need no saving. Safetensors, written whole or not at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from worldgrid.store import write_whole

RESUME = "resume.safetensors"


class Reached(NamedTuple):
    """How far a training got."""

    done: int
    """Whole units, steps or epochs."""
    into: int
    """Steps into the next one."""


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers on the CPU, ready for safetensors."""
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def save_state(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    done: int,
    average: nn.Module | None = None,
    *,
    into: int = 0,
) -> None:
    """Leave the state after `done` units (steps or epochs) of a training and so many steps of the next, with the
    average of the weights if any."""
    moments = {
        f"moments.{index}.{name}": value.detach().cpu().contiguous()
        for index, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }
    weights = {f"weights.{name}": value for name, value in weights_of(module).items()}
    averages = {f"average.{name}": value for name, value in weights_of(average).items()} if average else {}
    write_whole(path, save(weights | averages | moments, metadata={"done": str(done), "into": str(into)}))


def _laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory order, which the fused optimiser takes for granted."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment


def read_state(path: Path) -> bytes:
    """What `save_state` left, empty where there is nothing."""
    return path.read_bytes() if path.exists() else b""


def load_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None = None
) -> int:
    """Load what `save_state` left, if anything; says how many units are done."""
    return restore(read_state(path), module, optimiser, average).done


def restore(
    content: bytes, module: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None = None
) -> Reached:
    """Load what `read_state` gave, if anything; says how far it is."""
    if not content:
        return Reached(0, 0)
    state, header = load(content), content[8 : 8 + int.from_bytes(content[:8], "little")]
    said = json.loads(header)["__metadata__"]
    module.load_state_dict(_below(state, "weights."))
    if average is not None:
        average.load_state_dict(_below(state, "average."))
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(state, "moments.").items():
        index, moment = name.split(".")
        moments.setdefault(int(index), {})[moment] = _laid_out(value, parameters[int(index)])
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return Reached(int(said["done"]), int(said.get("into", "0")))


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
