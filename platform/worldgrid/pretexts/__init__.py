"""Pretexts: what an encoder learns by, from frames alone. n pairs of frames, P patches, D latent, A model action."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor, nn

from worldgrid.predictors import Shapes
from worldgrid.spec import Family, Spec


class Pretext(nn.Module):
    """A loss of encoded pairs, with the networks that nobody needs any more once the encoder has learned."""

    @abstractmethod
    def forward(
        self, before: Tensor, after: Tensor, actions: Tensor, stream: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what it is made of, unweighted and without history.

        `[n, P, D]` tokens of two frames of a trajectory, a pair in each row; `[n, A]` standardised actions, taken in
        the first; `stream` for what is drawn anew in every step.
        """


class PretextSpec(Spec):
    """Settings of a pretext, the section `pretrain.objective`."""

    kind: str

    @property
    def span(self) -> int:
        """Most model steps between the frames of a pair. Where it is 1, a pair is what an action did."""
        return 1

    @abstractmethod
    def build(self, shapes: Shapes) -> Pretext:
        """Its networks, with weights drawn from torch's present random state."""


PRETEXTS = Family[PretextSpec](
    "pretrain.objective",
    PretextSpec,  # type: ignore[type-abstract]
    {
        "inverse_dynamics": "worldgrid.pretexts.inverse_dynamics:InverseDynamics",
        "jepa": "worldgrid.pretexts.jepa:JEPA",
        "time_contrastive": "worldgrid.pretexts.time_contrastive:TimeContrastive",
    },
)
