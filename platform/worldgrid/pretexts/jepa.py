"""JEPA, end to end: encoder and a small predictor learn together to say the next latent. n pairs, P patches, D latent.

Both ends of the prediction learn, without a stopped gradient or an averaged teacher; alone that would make all frames
look the same, so a regulariser holds their distribution open.
"""

from __future__ import annotations

from typing import Literal, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from worldgrid.predictors import PREDICTORS, Latent, Shapes
from worldgrid.pretexts import Pretext, PretextSpec
from worldgrid.representation import covariance, sigreg, variance


@final
class JEPA(PretextSpec):
    """Settings of predictor and regulariser. The weights are ours: as weak as kept all numbers of a latent alive on
    Wall, where stronger ones made latent distances follow the true ones less."""

    kind: Literal["jepa"] = "jepa"
    regulariser: Literal["sigreg", "vicreg"] = "sigreg"
    """What keeps frames from all looking the same: SIGReg, which makes latents an isotropic Gaussian (LeJEPA,
    arXiv 2511.08544), or VICReg's variance and covariance terms (arXiv 2105.04906)."""
    weight: float = Field(default=0.004, gt=0)
    """Of SIGReg, against the squared error of the prediction; the statistic grows with the number of frames."""
    directions: int = Field(default=256, ge=1)
    """Random directions that SIGReg looks along, drawn anew in every step."""
    variance: float = Field(default=0.1, ge=0)
    """Of VICReg: weight of the term that keeps every number's deviation at 1 or above (as much as the prediction's in
    VICReg itself)."""
    covariance: float = Field(default=0.004, ge=0)
    """Of VICReg: weight of the term that keeps numbers from saying the same (a 25th of the other, as in VICReg)."""
    width: int = Field(default=64, ge=24, multiple_of=4)
    """Of the predictor's blocks, 4 heads each: a residual transformer with AdaLN; it is not kept."""
    depth: int = Field(default=2, ge=1)
    """The predictor's blocks."""

    def build(self, shapes: Shapes) -> Prediction:
        """The predictor."""
        return Prediction(self, shapes)


@final
class Prediction(Pretext):
    """The next latent from the latent and the action, and a regulariser over all latents of the step."""

    def __init__(self, spec: JEPA, shapes: Shapes) -> None:
        super().__init__()
        self.spec = spec
        small = {"width": spec.width, "depth": spec.depth, "heads": 4, "context": 1, "residual": True}
        self.predictor = PREDICTORS.parse({"kind": "transformer", "proprio": "none"} | small).build(shapes)

    def forward(
        self, before: Tensor, after: Tensor, actions: Tensor, stream: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the prediction, and the regulariser."""
        predicted: Latent = self.predictor(Latent(before[:, None]), actions[:, None])
        missed = mse_loss(predicted.visual[:, 0], after)
        features = torch.cat([before, after]).flatten(1)
        if self.spec.regulariser == "sigreg":
            drawn = stream.standard_normal((features.shape[1], self.spec.directions), np.float32)
            weighted = {"sigreg": (self.spec.weight, sigreg(features, normalize(torch.from_numpy(drawn), dim=0)))}
        else:
            weighted = {
                "variance": (self.spec.variance, variance(features)),
                "covariance": (self.spec.covariance, covariance(features)),
            }
        terms = {"prediction": missed.detach()} | {name: term.detach() for name, (_, term) in weighted.items()}
        return missed + sum(weight * term for weight, term in weighted.values()), terms
