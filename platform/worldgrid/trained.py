"""Trained: predictors as they lie in the folder of a `train` step, each epoch's weights beside what they need."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from worldgrid.checkpoints import FACTS, checkpoint_name
from worldgrid.predictors import PREDICTORS, Predictor, PredictorSpec, Shapes
from worldgrid.spec import JSON, ConfigError, parse
from worldgrid.step import Step, digest
from worldgrid.store import write_whole
from worldgrid.world_model import Normalisation

IMPORTED = 1
"""Version of imported steps: raised when what an import puts into the store changes."""


@dataclass(frozen=True)
class Facts:
    """What stays the same over a training's epochs."""

    predictor: PredictorSpec
    shapes: Shapes
    normalisation: Normalisation
    """What standardised its inputs."""

    def recipe(self) -> JSON:
        """All of them as JSON values."""
        return {
            "predictor": self.predictor.recipe(),
            "shapes": asdict(self.shapes),
            "normalisation": self.normalisation.recipe(),
        }

    def write(self, folder: Path) -> None:
        """Leave them beside the weights."""
        write_whole(folder / FACTS, json.dumps(self.recipe(), indent=1).encode())

    def fit(self, there: Shapes, name: str) -> Normalisation:
        """The statistics for planning with `there`; raises ConfigError where the predictor was made for something else.

        Proprioception that is not read may be anything.
        """
        if self.predictor.uses_proprio:
            mine, normalisation = self.shapes, self.normalisation
        else:
            mine, unread = replace(self.shapes, proprio=there.proprio), there.proprio
            normalisation = self.normalisation.model_copy(
                update={"proprio_mean": (0.0,) * unread, "proprio_std": (1.0,) * unread}
            )
        if mine != there:
            raise ConfigError(f"predictor {name}: made for {_shown(mine)}; env and encoder give {_shown(there)}")
        return normalisation

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """What `write` left."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return cls(
            PREDICTORS.parse(facts["predictor"]),
            Shapes(**facts["shapes"]),
            parse(Normalisation, facts["normalisation"], "normalisation"),
        )


def _shown(shapes: Shapes) -> str:
    return f"{shapes.patches} x {shapes.width} latents, actions of {shapes.action}, proprioception of {shapes.proprio}"


def load_predictor(folder: Path, epoch: int) -> tuple[Predictor, Facts]:
    """The frozen predictor of a published epoch, in eval mode on the CPU, and what it needs."""
    facts = Facts.read(folder)
    predictor = facts.predictor.build(facts.shapes)
    predictor.load_state_dict(load_file(folder / checkpoint_name(epoch)))
    return predictor.eval().requires_grad_(False), facts


def imported(predictor: PredictorSpec) -> Step:
    """The `train` step that an import leaves finished: it needs no other."""
    return Step("train", IMPORTED, {"predictor": predictor.recipe()})


@dataclass(frozen=True)
class Trained:
    """One checkpoint with all that planning with it needs."""

    facts: Facts
    epoch: int
    weights: dict[str, Tensor]
    """A float32 state dict of the predictor."""
    origin: JSON
    """Where it came from; for people, in no key."""

    def section(self) -> JSON:
        """The `predictor` section that names it in a grid, once it is in the store."""
        weights = {
            name: [list(tensor.shape), sha256(tensor.numpy().tobytes()).hexdigest()]
            for name, tensor in self.weights.items()
        }
        return {
            "kind": "imported",
            "name": f"checkpoint-{digest(self.facts.recipe() | {'epoch': self.epoch, 'weights': weights})}",
            "context": self.facts.predictor.context,
            "proprio": self.facts.predictor.uses_proprio,
            "epoch": self.epoch,
        }
