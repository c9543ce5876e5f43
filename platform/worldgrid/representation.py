"""Objectives that make an encoder from unlabelled clips, and signs of collapse. n, m frames, P patches, D latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def distances(first: Tensor, second: Tensor) -> Tensor:
    """`[n, P, D]` and `[m, P, D]` tokens -> `[n, m]` root of the mean squared difference: the l2 objective's order."""
    first, second = first.flatten(1), second.flatten(1)
    return torch.cdist(first, second) / math.sqrt(first.shape[1])


def time_contrastive(anchors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE on minus the latent distance, from anchors to positives and back; `[n, P, D]` each, row by row a pair.

    Each frame is to tell the one a few steps from it among n of other trajectories. So latent distances grow with the
    number of steps between frames, around walls too: the landscape that planning by goal distance needs. Source of
    the loss: van den Oord et al. 2018; distance instead of a dot product, so that what is learned is what is planned
    with.
    """
    closeness = distances(anchors, positives) / -temperature
    own = torch.arange(len(anchors), device=anchors.device)
    return (cross_entropy(closeness, own) + cross_entropy(closeness.T, own)) / 2


def effective_rank(tokens: Tensor) -> float:
    """Directions that `[n, P, D]` tokens use: 0 where all frames look the same, 1 on a line, at most P * D.

    The exponential of the entropy of the singular values (Roy and Vetterli, "The effective rank", EUSIPCO 2007).
    """
    features = tokens.flatten(1).double()
    strengths = torch.linalg.svdvals(features - features.mean(dim=0))
    if strengths.sum() <= 1e-6 * features.norm():
        return 0.0
    return float(torch.special.entr(strengths / strengths.sum()).sum().exp())


def spread(tokens: Tensor) -> float:
    """Root mean square deviation of `[n, P, D]` tokens from their mean, the unit that latent distances are in."""
    return float((tokens - tokens.mean(dim=0)).square().mean().sqrt())
