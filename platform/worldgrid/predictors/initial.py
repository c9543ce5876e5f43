"""Initial weights of a transformer, as the official classes draw them (jepa-wms)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import sqrt

import torch
from torch import nn


@torch.no_grad()
def draw_weights(
    network: nn.Module, blocks: Iterable[nn.Module], *, scaled: bool, modulation: float, outside: Collection[str]
) -> None:
    """Draw from torch's present random state; without `scaled` all but modulations and positions stay torch's own.

    `scaled` is a normal of deviation 0.02, what layer l adds divided by sqrt(2 l); `modulation` times 0.02 is the
    deviation of modulations. What lies `outside` of the official class, such as embeddings, stays torch's own.
    """
    if scaled:
        for name, parameter in network.named_parameters():
            if name.split(".")[0] in outside:
                continue
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 2:
                nn.init.trunc_normal_(parameter, std=0.02)
        for layer, block in enumerate(blocks, start=1):
            for name, parameter in block.named_parameters():
                if name.endswith("out.weight"):
                    parameter.div_(sqrt(2 * layer))
    for name, parameter in network.named_parameters():
        if name.endswith("modulation.weight"):
            nn.init.trunc_normal_(parameter, std=0.02).mul_(modulation)
        elif name.endswith("modulation.bias"):
            parameter.zero_()
        elif name == "positions.table":
            parameter.normal_()
