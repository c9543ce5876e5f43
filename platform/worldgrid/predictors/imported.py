"""A predictor trained elsewhere and imported into the store, as a grid names it."""

from __future__ import annotations

from typing import Literal, final

from pydantic import Field

from worldgrid.predictors import Predictor, PredictorSpec, Shapes
from worldgrid.spec import ConfigError


@final
class Imported(PredictorSpec):
    """One checkpoint by its content. `worldgrid import` prints this section; the rest of it must be true of it."""

    kind: Literal["imported"] = "imported"
    name: str = Field(pattern="^checkpoint-[0-9a-f]{12}$")
    """`checkpoint-` and the digest of its weights, settings and statistics."""
    proprio: bool
    """Whether it has proprioception."""
    epoch: int = Field(ge=1)
    """How long it was trained."""

    @property
    def uses_proprio(self) -> bool:
        """As the section says."""
        return self.proprio

    @property
    def imported(self) -> int:
        """The epoch of its one checkpoint."""
        return self.epoch

    def build(self, shapes: Shapes) -> Predictor:
        """Raises ConfigError: what it is made of lies in the store, and it is not trained again."""
        raise ConfigError(f"predictor: {self.name} is not in this store; `worldgrid import` puts it there")
