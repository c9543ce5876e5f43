"""Scale: what an experiment runs on. It enters no key: it changes time, never numbers."""

from __future__ import annotations

from pydantic import Field, model_validator

from worldgrid.spec import Spec


class Train(Spec):
    """What each training runs on."""

    workers: int = Field(default=1, ge=1)
    """Processes of one training (DDP ranks); must divide the batch."""
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs reserved for each worker."""


class Evaluate(Spec):
    """What the episode pool runs on."""

    workers: tuple[int, int] = (0, 2)
    """Fewest and most workers; the pool grows with its backlog and shrinks when idle."""
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs reserved for each worker; fractions share one GPU."""

    @model_validator(mode="after")
    def _ordered(self) -> Evaluate:
        low, high = self.workers
        if not 0 <= low <= high or high < 1:
            raise ValueError("[fewest, most] with 0 <= fewest <= most and most >= 1 fits")
        return self


class Scale(Spec):
    """The `scale` section of a grid file."""

    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each task of the other stages."""
    trials: int = Field(default=4, ge=1)
    """Trials that wait for their steps side by side."""
