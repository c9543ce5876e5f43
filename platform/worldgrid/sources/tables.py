"""Tables of DINO-WM's releases: tensors and lists in PyTorch and pickle files, of which no code is ever run."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from worldgrid.places import Place
from worldgrid.sources import CorruptError
from worldgrid.spec import ConfigError

_NUMBERS = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4"}
_LISTS = {"PROTO", "FRAME", "EMPTY_LIST", "LIST", "MARK", "APPEND", "APPENDS", "MEMOIZE", "PUT", "BINPUT", "STOP"}


def check(place: Place, names: Sequence[str], release: str) -> None:
    """Raises ConfigError unless all files of a release are there."""
    for name in names:
        if not place.has(name):
            raise ConfigError(f"source {place.address}: has no {name}, which {release} has")


def table(place: Place, name: str) -> NDArray[Any]:
    """The one tensor of a file that all recordings need; raises ConfigError where it is not that."""
    try:
        return tensor(place, name)
    except CorruptError as error:
        raise ConfigError(f"source {place.address}: {name}: {error}") from None


def tensor(place: Place, name: str) -> NDArray[Any]:
    """The one tensor of a PyTorch file; raises CorruptError where it is not that."""
    try:
        held = torch.load(io.BytesIO(place.read(name)), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes its reader raise whatever it likes
        raise CorruptError(f"no file of a tensor ({type(error).__name__})") from None
    if not isinstance(held, torch.Tensor):
        raise CorruptError(f"holds a {type(held).__name__}; a tensor fits")
    return held.numpy()


def whole_numbers(place: Place, name: str) -> list[int]:
    """A pickled list of whole numbers, read without unpickling; raises ConfigError for anything else."""
    wrong = f"source {place.address}: {name}: not a pickled list of whole numbers"
    try:
        steps = [(step.name, value) for step, value, _ in pickletools.genops(place.read(name))]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{wrong} ({error})") from None
    strange = {step for step, _ in steps} - _NUMBERS - _LISTS
    if strange:
        raise ConfigError(f"{wrong} ({', '.join(sorted(strange))})")
    return [int(str(value)) for step, value in steps if step in _NUMBERS]
