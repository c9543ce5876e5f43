"""Adam on the actions. The official "Adam" never steps its optimiser; this one is real, theirs is `gd`."""

from __future__ import annotations

from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from worldgrid.planners.descent import Descent, Rule

Decay = Annotated[float, Field(ge=0, lt=1)]


@final
class Adam(Descent):
    """Gradient steps scaled by their own running moments."""

    kind: Literal["adam"] = "adam"
    lr: float = Field(default=0.1, gt=0)
    """Step size, standardised units. The study names 1 and never takes such a step; 0.1 is ours, tried on Wall."""
    betas: tuple[Decay, Decay] = (0.9, 0.995)
    """Decay of the first and the second moment (study's settings: 0.9, 0.995)."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment (study's settings: 1e-8)."""

    def rule(self) -> Rule:
        """Adam with bias correction, as in arXiv 1412.6980, algorithm 1. (torch.optim costs 10 s of imports.)"""
        keep_first, keep_second = self.betas
        first, second = torch.zeros(()), torch.zeros(())
        steps = 0

        def step(gradient: Tensor) -> Tensor:
            nonlocal first, second, steps
            steps += 1
            first = keep_first * first + (1 - keep_first) * gradient
            second = keep_second * second + (1 - keep_second) * gradient.square()
            first_unbiased = first / (1 - keep_first**steps)
            second_unbiased = second / (1 - keep_second**steps)
            return self.lr * first_unbiased / (second_unbiased.sqrt() + self.eps)

        return step
