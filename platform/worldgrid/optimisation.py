"""How weights are moved: AdamW, what decays, the learning rate at every step, precision, and averages of weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from worldgrid.spec import Spec


class Optimisation(Spec):
    """Settings of the optimiser. Defaults: the paper's simulation runs (configs/vjepa_wm of the official code)."""

    epochs: int = Field(default=50, ge=1)
    """Passes over the training clips."""
    batch: int = Field(default=256, ge=1)
    """Clips per step over all workers: the batch and its order belong to the recipe."""
    epoch_steps: int | None = Field(default=None, ge=1)
    """Steps that make an epoch, whatever the size of the data (paper: 300 on DROID); None is one full pass."""
    lr: float = Field(default=5e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "wsd"] = "constant"
    """After the warm-up: flat, one cosine, or flat with a linear decay at the end (warm-up, stable, decay)."""
    final_lr: float = Field(default=0.0, ge=0)
    """Learning rate at the end of `cosine` and `wsd`, as a share of the peak."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps with a linearly rising rate."""
    decay: float = Field(default=0.1, gt=0, le=1)
    """Share of all steps with a falling rate; `wsd` only."""
    weight_decay: tuple[float, float] = (1e-7, 1e-6)
    """Weight decay at the start and the end, on a cosine; biases and 1-D parameters never decay."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averages (paper's table: 0.9, 0.995; its configs: 0.9, 0.999)."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm; None does not clip."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What forward passes are computed in; weights, losses and planning stay fp32 (the study trains with bf16 autocast
    on GPUs; on CPUs without matrix units bf16 is slower)."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Share of the averaged weights that a step keeps; the average is what is validated and published. None: off, as in
    the study."""

    @model_validator(mode="after")
    def _fits(self) -> Optimisation:
        if min(self.weight_decay) < 0:
            raise ValueError("weight_decay: two numbers of at least 0 fit")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas: two numbers from 0 to below 1 fit")
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise ValueError("warmup + decay: at most 1 fits")
        return self

    def lr_at(self, progress: float) -> float:
        """Learning rate after a share `progress` of all steps."""
        if progress < self.warmup:
            return self.lr * progress / self.warmup
        floor = self.lr * self.final_lr
        if self.schedule == "cosine":
            return floor + (self.lr - floor) * _half_cosine((progress - self.warmup) / (1 - self.warmup))
        if self.schedule == "wsd":
            return floor + (self.lr - floor) * min(1.0, (1 - progress) / self.decay)
        return self.lr

    def weight_decay_at(self, progress: float) -> float:
        """Weight decay after a share `progress` of all steps."""
        first, last = self.weight_decay
        return last + (first - last) * _half_cosine(progress)

    @property
    def extends(self) -> bool:
        """Whether its steps are the same in a run of more epochs, so that such a run may begin where it ends."""
        return self.schedule == "constant" and not self.warmup and len(set(self.weight_decay)) == 1

    def optimiser(self, module: nn.Module) -> torch.optim.AdamW:
        """AdamW over a module's parameters; the first group decays."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [parameter for parameter in trained if parameter.ndim > 1], "decays": True},
            {"params": [parameter for parameter in trained if parameter.ndim <= 1], "decays": False},
        ]
        present = [group for group in groups if group["params"]]
        return torch.optim.AdamW(present, lr=self.lr, betas=self.betas, weight_decay=0.0, fused=True)

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @torch.no_grad()
    def average(self, averaged: nn.Module, module: nn.Module, step: int) -> None:
        """Bring the averaged weights on after a module's step number `step`, counted from 1.

        A plain moving average would long remember the first weights; as with Adam's moments the shares of the steps so
        far add up to 1, so that the average after one step is that step's weights.
        """
        assert self.ema is not None
        share = (1 - self.ema) / (1 - self.ema**step)
        for kept, new in zip(averaged.parameters(), module.parameters(), strict=True):
            kept.lerp_(new, share)

    def set_step(self, optimiser: torch.optim.Optimizer, progress: float) -> None:
        """Give the optimiser the rate and decay of a share `progress` of all steps."""
        for group in optimiser.param_groups:
            group["lr"] = self.lr_at(progress)
            group["weight_decay"] = self.weight_decay_at(progress) if group["decays"] else 0.0


def _half_cosine(share: float) -> float:
    """1 at share 0, 0 at share 1."""
    return 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
