"""Latents: encoded frames on disk, one set of memory-mapped arrays per shard of trajectories.

B clips, T frames, P patches, D latent, A model action, Q proprio, X state. Training reads clips from here and never
touches pixels; pages are shared by every process of a machine.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldgrid.spec import JSON
from worldgrid.store import offer, write_whole

INDEX = "index.json"
_ARRAYS = ("latents", "proprio", "states", "actions")


class Clips(NamedTuple):
    """B clips of T frames, `stride` kept frames apart."""

    latents: NDArray[np.float32]
    """`[B, T, P, D]`."""
    proprio: NDArray[np.float32]
    """`[B, T, Q]`, simulator units."""
    actions: NDArray[np.float32]
    """`[B, T, A]`, simulator units: what was done from frame t on; the last row leads out of the clip."""


class EncodedShard(NamedTuple):
    """One shard's frames, trajectory after trajectory."""

    latents: NDArray[np.floating]
    """`[F, P, D]`."""
    proprio: NDArray[np.float32]
    """`[F, Q]`."""
    states: NDArray[np.float64]
    """`[F, X]`."""
    actions: NDArray[np.float32]
    """`[F, keep * a]`: from each kept frame to the next; zeros behind a trajectory's last frame."""


def write_encoded(folder: Path, index: int, shard: EncodedShard) -> None:
    """Write one shard's arrays, each file whole or not at all; the latents last."""
    write_controls(folder, index, shard.proprio, shard.states, shard.actions)
    write_latents(folder, index, [shard.latents], len(shard.latents))


def write_controls(
    folder: Path,
    index: int,
    proprio: NDArray[np.float32],
    states: NDArray[np.float64],
    actions: NDArray[np.float32],
) -> None:
    """Write what `EncodedShard` says of one shard beside its latents, each file whole or not at all."""
    for name, array in (("proprio", proprio), ("states", states), ("actions", actions)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_whole(folder / _file(name, index), buffer.getvalue())


def write_latents(folder: Path, index: int, parts: Iterable[NDArray[np.floating]], frames: int) -> None:
    """Write one shard's `[frames, P, D]` latents, given in parts `[n, P, D]` of which one is in memory at a time.

    The file appears when it is whole, which completes the shard: its controls are written before.
    """
    path = folder / _file("latents", index)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    written = 0
    try:
        with scratch.open("wb") as file:
            for part in parts:
                if not written:
                    header = {"descr": part.dtype.str, "fortran_order": False, "shape": (frames, *part.shape[1:])}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(part).data)
                written += len(part)
            assert written == frames, f"{written} of {frames} frames were given"
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        offer(path)
    finally:
        scratch.unlink(missing_ok=True)


def is_encoded(folder: Path, index: int) -> bool:
    """Whether a shard is complete."""
    return (folder / _file("latents", index)).exists()


def _file(name: str, index: int) -> str:
    return f"{name}-{index:05d}.npy"


def write_index(folder: Path, *, keep: int, lengths: Sequence[Sequence[int]], patches: int, width: int) -> JSON:
    """Describe a complete folder: frames of every trajectory by shard, and the shape of a frame's tokens."""
    index = {"schema": 1, "keep": keep, "lengths": [list(part) for part in lengths], "patches": patches, "width": width}
    write_whole(folder / INDEX, json.dumps(index).encode())
    return index


@dataclass(frozen=True)
class Latents:
    """A complete folder of encoded trajectories."""

    folder: Path

    @cached_property
    def index(self) -> JSON:
        """What `write_index` said."""
        loaded: JSON = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        return loaded

    @property
    def keep(self) -> int:
        """Simulator steps between kept frames."""
        return int(self.index["keep"])

    @property
    def patches(self) -> int:
        """P: tokens per frame."""
        return int(self.index["patches"])

    @property
    def width(self) -> int:
        """D: numbers per token."""
        return int(self.index["width"])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """`[trajectories]` kept frames of each trajectory, in shard order."""
        return np.concatenate([np.asarray(part, np.int64) for part in self.index["lengths"]])

    @cached_property
    def _shards(self) -> list[EncodedShard]:
        return [
            EncodedShard(*(np.load(self.folder / _file(name, index), mmap_mode="r") for name in _ARRAYS))
            for index in range(len(self.index["lengths"]))
        ]

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        """First frame of every trajectory, counted over all shards."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        """First frame of every shard, counted over all shards, and the end."""
        return np.concatenate([[0], np.cumsum([sum(part) for part in self.index["lengths"]])]).astype(np.int64)

    def starts(self, trajectories: NDArray[np.int64], frames: int, stride: int) -> NDArray[np.int64]:
        """First frames of every clip of `frames` frames, `stride` kept frames apart, in these trajectories."""
        span = (frames - 1) * stride
        first, room = self._offsets[trajectories], np.maximum(self.lengths[trajectories] - span, 0)
        return np.repeat(first - np.cumsum(room) + room, room) + np.arange(room.sum())

    def read(self, starts: NDArray[np.int64], frames: int, stride: int) -> Clips:
        """The clips that begin at `starts`, in that order."""
        rows = starts[:, None] + np.arange(frames) * stride
        owner = np.searchsorted(self._bounds, starts, side="right") - 1
        parts = [self._gather(int(shard), rows[owner == shard], stride) for shard in np.unique(owner)]
        order = np.argsort(np.argsort(owner, kind="stable"), kind="stable")
        return Clips(*(np.concatenate(columns)[order] for columns in zip(*parts, strict=True)))

    def _gather(self, index: int, rows: NDArray[np.int64], stride: int) -> Clips:
        shard, local = self._shards[index], rows - self._bounds[index]
        last = len(shard.actions) - 1
        steps = np.minimum(local[..., None] + np.arange(stride), last)
        actions = shard.actions[steps].reshape(*local.shape, -1)
        return Clips(shard.latents[local].astype(np.float32), shard.proprio[local], actions)

    def controls(self, trajectories: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """All proprioception `[n, Q]` and all executed actions `[m, keep * a]` of some trajectories, for statistics."""
        chosen = np.zeros(len(self.lengths), bool)
        chosen[trajectories] = True
        frames = np.repeat(chosen, self.lengths)
        moving = frames.copy()
        moving[self._offsets[1:] - 1] = False
        proprio = np.concatenate([shard.proprio for shard in self._shards])
        actions = np.concatenate([shard.actions for shard in self._shards])
        return proprio[frames], actions[moving]
