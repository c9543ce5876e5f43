"""Scale: what an experiment runs on. It enters no key: it changes time, never numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from worldgrid.spec import Spec


def _custom(resources: Mapping[str, float]) -> Mapping[str, float]:
    for name, amount in resources.items():
        if name.lower() in ("cpu", "gpu", "memory", "object_store_memory"):
            raise ValueError(f"'{name}' is no custom resource; `cpus` and `gpus` have settings of their own")
        if amount <= 0:
            raise ValueError(f"'{name}' is {amount:g}; more than 0 fits")
    return resources


Resources = Annotated[Mapping[str, float], AfterValidator(_custom)]
"""Ray's custom resources: name -> how much of it."""


def _fewest_and_most(given: object) -> object:
    if isinstance(given, list | tuple) and len(given) == 2 and all(type(one) is int for one in given):
        fewest, most = given
    else:
        fewest = most = given
    if type(fewest) is not int or not 1 <= fewest <= most:
        raise ValueError("a whole number of at least 1, or [fewest, most], fits")
    return fewest, most


_SHAPE = {"type": "integer", "minimum": 1}
Workers = Annotated[
    tuple[int, int],
    BeforeValidator(_fewest_and_most),
    WithJsonSchema({"anyOf": [_SHAPE, {"type": "array", "items": _SHAPE, "minItems": 2, "maxItems": 2}]}),
]
"""Fewest and most processes; one number is both."""


class Train(Spec):
    """What each training runs on."""

    workers: Workers = (1, 1)
    """Processes of one training (DDP ranks). `[fewest, most]` is elastic: it begins with as many as the cluster has
    room for, and goes on with more or fewer from its last epoch when nodes come or go."""
    clips: int | None = Field(default=None, ge=1)
    """Most clips of a worker's pass through the network; gradients of a larger share of the batch are accumulated.
    None: the share of each when all workers are there."""
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs reserved for each worker."""
    resources: Resources = Field(default_factory=dict)
    """Custom resources reserved for each worker: puts training on a group of nodes of its own (`{train: 1}`)."""

    save: float = Field(default=600.0, gt=0)
    """Seconds between the states that a training goes on from within an epoch: what a lost worker costs at most."""

    def pass_clips(self, batch: int) -> int:
        """Most clips of one pass, for a global batch of so many."""
        return min(self.clips or batch, -(-batch // self.workers[1]))


class Encode(Spec):
    """What each worker that encodes runs on; there are as many as the cluster holds."""

    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs reserved for each worker; without, it encodes on the CPU."""


class Evaluate(Spec):
    """What the episode pool runs on."""

    workers: tuple[int, int] = (0, 2)
    """Fewest and most workers; the pool grows with its backlog and shrinks when idle."""
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each worker."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs reserved for each worker; fractions share one GPU."""
    resources: Resources = Field(default_factory=dict)
    """Custom resources reserved for each worker: puts the pool on a group of nodes of its own (`{evaluate: 1}`)."""
    chunks: int | None = Field(default=None, ge=1)
    """Chunks a worker plays side by side: while one plans, the others' simulators step. None: 2 with a GPU, else 1."""
    idle: float = Field(default=10.0, gt=0)
    """Seconds for which a worker waits for its next chunk before it leaves."""
    limit: float = Field(default=3600.0, gt=0)
    """Seconds that a chunk may take; then its worker is killed and another one plays it."""
    attempts: int = Field(default=3, ge=1)
    """Workers that a chunk may take down before it is set aside; more where workers are often killed from outside."""

    @model_validator(mode="after")
    def _ordered(self) -> Evaluate:
        low, high = self.workers
        if not 0 <= low <= high or high < 1:
            raise ValueError("[fewest, most] with 0 <= fewest <= most and most >= 1 fits")
        return self

    @property
    def side_by_side(self) -> int:
        """Chunks that a worker plays at once."""
        return self.chunks or (2 if self.gpus else 1)


class Scale(Spec):
    """The `scale` section of a grid file."""

    encode: Encode = Encode()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    cpus: float = Field(default=1.0, gt=0)
    """CPUs reserved for each task of the other stages."""
    trials: int = Field(default=4, ge=1)
    """Trials that wait for their steps side by side."""
    retries: int = Field(default=3, ge=0)
    """Times a step is run again after its worker or its node was lost; an error of its own is not tried again."""
