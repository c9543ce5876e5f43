"""Hub: a trained predictor as a folder in the Hugging Face layout, config.json, model.safetensors and README.md."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from worldgrid.predictors import PREDICTORS, PredictorSpec, Shapes
from worldgrid.spec import JSON, ConfigError, Spec, parse, read_text, suggest
from worldgrid.store import write_whole
from worldgrid.tensors import plain, read_tensors
from worldgrid.trained import Facts, Trained
from worldgrid.world_model import Normalisation

CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"
MODEL_TYPE, LAYOUT = "worldgrid-predictor", 1


class _Counts(Spec):
    """`Shapes` as a folder has them."""

    patches: int = Field(ge=1)
    width: int = Field(ge=1)
    action: int = Field(ge=1)
    proprio: int = Field(ge=0)


class _Config(Spec):
    """A folder's config.json."""

    model_type: Literal["worldgrid-predictor"]
    layout: Literal[1]
    epoch: int = Field(ge=1)
    predictor: JSON
    shapes: _Counts
    normalisation: Normalisation
    origin: JSON = Field(default={})


def read_folder(folder: Path) -> Trained:
    """What `write_folder` left; raises ConfigError for anything else. A folder names kinds of ours, never code."""
    where = str(folder / CONFIG)
    try:
        held = parse(_Config, json.loads(read_text(folder / CONFIG)), where)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: no JSON: {error}") from None
    kind = held.predictor.get("kind")
    if kind not in PREDICTORS.members or kind == "imported":
        raise ConfigError(f"{where}: unknown predictor '{kind}'{suggest(str(kind), PREDICTORS.members)}")
    predictor = PREDICTORS.parse(held.predictor, f"{where}: predictor")
    shapes = Shapes(**held.shapes.recipe())
    weights = read_tensors(folder / TENSORS)
    _check_weights(predictor, shapes, weights, folder / TENSORS)
    return Trained(Facts(predictor, shapes, held.normalisation), held.epoch, plain(weights), held.origin)


def _check_weights(predictor: PredictorSpec, shapes: Shapes, weights: Mapping[str, Tensor], path: Path) -> None:
    with torch.device("meta"):
        wanted = {name: list(tensor.shape) for name, tensor in predictor.build(shapes).state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in weights.items()}
    wrong = [name for name in sorted(wanted.keys() | given.keys()) if wanted.get(name) != given.get(name)]
    if wrong:
        shown = f"{wrong[0]} is {given.get(wrong[0], 'missing')}; {wanted.get(wrong[0], 'nothing')} fits"
        raise ConfigError(f"{path}: not the weights of its config.json: {shown} ({len(wrong)} such weights)")


def config(trained: Trained) -> JSON:
    """All but the weights, as config.json has it."""
    return {"model_type": MODEL_TYPE, "layout": LAYOUT, "epoch": trained.epoch} | trained.facts.recipe()


def write_folder(trained: Trained, folder: Path) -> None:
    """A folder in the Hugging Face layout: config.json, model.safetensors, README.md. Whole or not at all."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already; a new or empty folder fits")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            whole = Path(scratch) / "whole"
            write_whole(whole / CONFIG, json.dumps(config(trained) | {"origin": trained.origin}, indent=1).encode())
            write_whole(whole / TENSORS, save(trained.weights, metadata={"format": "pt"}))
            write_whole(whole / CARD, card(trained).encode())
            os.replace(whole, folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None


def card(trained: Trained) -> str:
    """The model card: what it is, what it fits, how to use it, where it came from."""
    shapes, parameters = trained.facts.shapes, sum(tensor.numel() for tensor in trained.weights.values())
    section = json.dumps(trained.section())
    return f"""---
library_name: worldgrid
tags: [world-model, jepa, planning]
---
# Predictor of a JEPA world model, epoch {trained.epoch}

{parameters / 1e6:.2f} M parameters. From up to {trained.facts.predictor.context} frames, each of {shapes.patches}
encoder tokens of {shapes.width} numbers, and the action taken in each ({shapes.action} numbers, standardised with the
statistics in {CONFIG}), it predicts the tokens of the frame that follows each.

## Use

    worldgrid import FOLDER

and in a grid file

    predictor: {section}

with the encoder and the env it was trained with. Weights stay under their authors' licence.

## Settings

```json
{json.dumps(config(trained), indent=1)}
```

## Origin

```json
{json.dumps(trained.origin, indent=1)}
```
"""
