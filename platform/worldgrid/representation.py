"""Objectives that make an encoder from clips, and signs of its collapse. n frames, P patches, D latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def distances(first: Tensor, second: Tensor) -> Tensor:
    """`[n, P, D]` and `[m, P, D]` tokens -> `[n, m]` root mean squared difference: what the l2 objective ranks by."""
    a, b = first.flatten(1), second.flatten(1)
    return torch.cdist(a, b) / math.sqrt(a.shape[1])


def time_contrastive(anchors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE: among n frames from other trajectories, each anchor is closest to its own near future, and back.

    Frames that are few steps apart come close, all others are pushed away, so that distances in the latent space grow
    with the number of steps between frames: the shape of landscape that planning by goal distance needs.
    """
    closeness = -distances(anchors, positives) / temperature
    own = torch.arange(len(anchors), device=anchors.device)
    return (cross_entropy(closeness, own) + cross_entropy(closeness.T, own)) / 2


def effective_rank(tokens: Tensor) -> float:
    """Of `[n, P, D]` tokens: the exponential of the entropy of their singular values, 1 when collapsed to a line.

    (Roy and Vetterli, "The effective rank", EUSIPCO 2007.)
    """
    centred = tokens.flatten(1) - tokens.flatten(1).mean(dim=0)
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total
    return float(torch.exp(torch.special.entr(shares).sum()))
