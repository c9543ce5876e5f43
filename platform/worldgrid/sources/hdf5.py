"""HDF5 files, of which one piece after the other is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from worldgrid.places import Place
from worldgrid.sources import CorruptError
from worldgrid.sources.pictures import to_bytes
from worldgrid.spec import ConfigError

AT_ONCE = 16
"""Pictures read together."""


@contextmanager
def opened(place: Place, name: str) -> Iterator[Any]:
    """A file to read; whatever is wrong with it becomes a CorruptError."""
    try:
        with place.open(name) as file, h5py.File(file, "r") as held:
            yield held
    except ConfigError:
        raise  # the place cannot be reached
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CorruptError(f"{name}: {' '.join(str(error).split())[:160]}") from None


def numbers(held: Any, name: str) -> NDArray[np.float64]:
    """A data set as `[T, ...]` float64; one number a moment becomes `[T, 1]`. Raises KeyError."""
    found = np.asarray(held[name], np.float64)
    return found[:, None] if found.ndim == 1 else found


def pictures(held: Any, name: str, stride: int = 1) -> Iterator[NDArray[np.uint8]]:
    """`[h, w, 3]` of every `stride`-th picture. Raises KeyError, and CorruptError for what are no colours."""
    found = held[name]
    if found.ndim != 4 or found.shape[3] != 3:
        raise CorruptError(f"{name}: pictures of shape {list(found.shape)}")
    for at in range(0, len(found), AT_ONCE * stride):
        yield from to_bytes(found[at : at + AT_ONCE * stride : stride])
