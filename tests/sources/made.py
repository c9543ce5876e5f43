"""Made-up data sets in the released layouts: small, lossless, each number known."""

import io
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import torch

from worldgrid.places import Place, find
from worldgrid.sources import SOURCES, CorruptError
from worldgrid.trajectories import Trajectory

SIDE = 16


def pictures(count: int, height: int = SIDE, width: int = SIDE, seed: int = 0) -> np.ndarray:
    """`[count, height, width, 3]` noise, in which every frame differs from every other."""
    return np.random.default_rng([seed, count]).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def mp4(shown: np.ndarray, fps: int = 10, *, lossless: bool = True) -> bytes:
    """A video of these pictures, to the bit unless it is made as others make it."""
    file = io.BytesIO()
    codec, options, layout = ("libx264rgb", {"qp": "0"}, "rgb24") if lossless else ("libx264", {"crf": "18"}, "yuv420p")
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = shown.shape[1:3]
        stream.pix_fmt = layout
        for picture in shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def save(path: Path, held: Any) -> None:
    """A file of torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torch.from_numpy(held) if isinstance(held, np.ndarray) else held, path)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def hdf5(path: Path, content: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, held in content.items():
            file[name] = held


def read(folder: Path | Place, kind: str, **settings: Any) -> dict[str, Trajectory | str]:
    """Every recording by its name: what it is, or why it cannot be used."""
    place = folder if isinstance(folder, Place) else find(str(folder))
    found: dict[str, Trajectory | str] = {}
    for index, one in enumerate(SOURCES.parse({"kind": kind, "size": SIDE} | settings).contents(place).recordings):
        try:
            found[one.name] = one.load(index)
        except CorruptError as error:
            found[one.name] = str(error)
    return found
