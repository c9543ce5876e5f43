"""Everything a training needs to go on as if it had never stopped: weights, the optimiser's moments, how far it is.

Draws and learning rates are functions of the step, so they need no saving. Safetensors, written whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from worldgrid.store import write_whole

RESUME = "resume.safetensors"


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers on the CPU, ready for safetensors."""
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def save_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, done: int, average: nn.Module | None = None
) -> None:
    """Leave the state after `done` units (steps or epochs) of a training, with the average of the weights if any."""
    moments = {
        f"moments.{index}.{name}": value.detach().cpu().contiguous()
        for index, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }
    weights = {f"weights.{name}": value for name, value in weights_of(module).items()}
    averages = {f"average.{name}": value for name, value in weights_of(average).items()} if average else {}
    write_whole(path, save(weights | averages | moments, metadata={"done": str(done)}))


def _laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory order, which the fused optimiser takes for granted."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment


def load_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None = None
) -> int:
    """Load what `save_state` left, if anything; says how many units are done."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        done = int(file.metadata()["done"])
    module.load_state_dict(_below(state, "weights."))
    if average is not None:
        average.load_state_dict(_below(state, "average."))
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(state, "moments.").items():
        index, moment = name.split(".")
        moments.setdefault(int(index), {})[moment] = _laid_out(value, parameters[int(index)])
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return done


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
