"""Losses that make an encoder from unlabelled frames, and signs of collapse. n, m frames, P patches, D latent, F = P D.

What the losses are for, and how they are put together, is said by the pretexts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

POINTS, FARTHEST = 17, 5.0
"""Where SIGReg compares characteristic functions: so many points from minus to plus this (LeJEPA, its algorithm)."""


def distances(first: Tensor, second: Tensor) -> Tensor:
    """`[n, P, D]` and `[m, P, D]` tokens -> `[n, m]` root of the mean squared difference: the l2 objective's order."""
    first, second = first.flatten(1), second.flatten(1)
    return torch.cdist(first, second) / math.sqrt(first.shape[1])


def info_nce(anchors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE on minus the latent distance, from anchors to positives and back; `[n, P, D]` each, row by row a pair.

    Source of the loss: van den Oord et al. 2018; distance instead of a dot product, so that what is learned is what is
    planned with.
    """
    closeness = distances(anchors, positives) / -temperature
    own = torch.arange(len(anchors), device=anchors.device)
    return (cross_entropy(closeness, own) + cross_entropy(closeness.T, own)) / 2


def variance(features: Tensor) -> Tensor:
    """VICReg's variance term of `[n, F]`: how far each number's deviation is below 1, averaged (arXiv 2105.04906)."""
    return (1 - (features.var(dim=0) + 1e-4).sqrt()).relu().mean()


def covariance(features: Tensor) -> Tensor:
    """VICReg's covariance term of `[n, F]`: squared covariances of different numbers, summed, over F."""
    squares = torch.cov(features.T).square()
    return (squares.sum() - squares.diagonal().sum()) / features.shape[1]


def sigreg(features: Tensor, directions: Tensor) -> Tensor:
    """SIGReg: how far `[n, F]` are from a standard normal along `[F, m]` unit directions (LeJEPA, arXiv 2511.08544).

    For each direction the statistic of Epps and Pulley, n times the integral of |empirical minus normal characteristic
    function|^2 under the weight exp(-t^2 / 2), by the trapezoidal rule; averaged over directions.
    """
    places = torch.linspace(-FARTHEST, FARTHEST, POINTS, device=features.device)
    normal = torch.exp(-places.square() / 2)
    angles = (features @ directions.to(features))[..., None] * places
    apart = (angles.cos().mean(dim=0) - normal).square() + angles.sin().mean(dim=0).square()
    return len(features) * torch.trapezoid(apart * normal, places).mean()


def effective_rank(tokens: Tensor) -> float:
    """Directions that `[n, P, D]` tokens use: 0 where all frames look the same, 1 on a line, at most P * D.

    The exponential of the entropy of the singular values (Roy and Vetterli, "The effective rank", EUSIPCO 2007).
    """
    features = tokens.flatten(1).double()
    strengths = torch.linalg.svdvals(features - features.mean(dim=0))
    if strengths.sum() <= 1e-6 * features.norm():
        return 0.0
    return float(torch.special.entr(strengths / strengths.sum()).sum().exp())


def spreads(tokens: Tensor) -> Tensor:
    """`[n, P, D]` tokens -> `[P * D]` deviation of every number from its mean, in the unit of latent distances."""
    return tokens.flatten(1).std(dim=0, correction=0)


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's correlation of `[n]` and `[n]` numbers, equal ones sharing a rank; 0 where either never varies."""
    ranks = [_ranks(values) - (len(values) + 1) / 2 for values in (first, second)]
    scale = math.sqrt(np.square(ranks[0]).sum() * np.square(ranks[1]).sum())
    return float((ranks[0] * ranks[1]).sum() / scale) if scale else 0.0


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks
