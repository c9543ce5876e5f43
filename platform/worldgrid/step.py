"""A step: one stage, its settings and its inputs. What it is gets hashed into its key; what it runs on does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from worldgrid.spec import JSON


def canonical(value: object) -> str:
    """JSON text that is the same for equal values: sorted names, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: object) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class Step:
    """A stage with its settings (JSON values, defaults included) and the steps whose folders it reads."""

    stage: str
    version: int
    """Raised when the stage's code changes what it computes."""
    config: JSON
    inputs: Mapping[str, Step] = field(default_factory=dict)
    frozen: str | None = None
    """Where frozen weights lie that `config` knows by their content; in no key."""

    @cached_property
    def recipe(self) -> JSON:
        """What the key is made of: stage, version, settings, keys of the inputs."""
        return {
            "stage": self.stage,
            "version": self.version,
            "config": self.config,
            "inputs": {name: step.key for name, step in sorted(self.inputs.items())},
        }

    @cached_property
    def key(self) -> str:
        """`stage-0123456789ab`, the name of the step's folder in the store."""
        return f"{self.stage}-{digest(self.recipe)}"

    def walk(self) -> Iterator[Step]:
        """This step and everything it needs, inputs first, each key once."""
        seen: set[str] = set()
        yield from self._walk(seen)

    def _walk(self, seen: set[str]) -> Iterator[Step]:
        for step in self.inputs.values():
            yield from step._walk(seen)
        if self.key not in seen:
            seen.add(self.key)
            yield self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
