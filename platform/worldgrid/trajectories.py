"""Trajectories: recorded episodes on disk. Shards of Parquet, one row per trajectory, and a manifest written last.

T kept frames, S frame side, Q proprio, X state, a simulator action. Frames are raw bytes under zstd: measured on
64 px renderings this is as small as PNG and reads and writes an order of magnitude faster, whole shards at a time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldgrid.envs import Frames
from worldgrid.spec import JSON
from worldgrid.store import file_digest, write_whole

SCHEMA = 1
MANIFEST = "manifest.json"


class Trajectory(NamedTuple):
    """One recorded episode; a frame is kept every `keep` simulator steps, the first one included."""

    episode: int
    frames: Frames
    """`[T, S, S, 3]` uint8."""
    proprio: NDArray[np.float32]
    """`[T, Q]`."""
    states: NDArray[np.float64]
    """`[T, X]`."""
    actions: NDArray[np.float32]
    """`[(T - 1) * keep, a]`, simulator units, as executed."""


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.parquet"


def write_shard(path: Path, trajectories: Sequence[Trajectory]) -> None:
    """Write some trajectories as one Parquet file, whole or not at all."""
    table = pa.table(
        {
            "episode": pa.array([t.episode for t in trajectories], pa.int64()),
            "length": pa.array([len(t.frames) for t in trajectories], pa.int32()),
            "frames": pa.array([t.frames.tobytes() for t in trajectories], pa.large_binary()),
            "proprio": _lists([t.proprio for t in trajectories], pa.float32()),
            "states": _lists([t.states for t in trajectories], pa.float64()),
            "actions": _lists([t.actions for t in trajectories], pa.float32()),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=1, use_dictionary=False)
    write_whole(path, sink.getvalue())


def _lists(arrays: Sequence[NDArray[np.floating]], kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum([a.size for a in arrays])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate([a.ravel() for a in arrays]), kind))


def write_manifest(folder: Path, *, shards: int, keep: int, size: int, dims: JSON) -> JSON:
    """Describe a complete folder of shards: counts, dimensions, digests. `dims` names action, proprio and state."""
    files = [shard_name(index) for index in range(shards)]
    columns = [pq.read_table(folder / name, columns=["episode", "length"]) for name in files]
    manifest = {
        "schema": SCHEMA,
        "keep": keep,
        "size": size,
        "dims": dims,
        "episodes": [table["episode"].to_pylist() for table in columns],
        "lengths": [table["length"].to_pylist() for table in columns],
        "shards": {name: file_digest(folder / name) for name in files},
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


@dataclass(frozen=True)
class Trajectories:
    """A complete folder of trajectories, read shard by shard."""

    folder: Path

    @cached_property
    def manifest(self) -> JSON:
        """What `write_manifest` said."""
        loaded: JSON = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        return loaded

    @property
    def keep(self) -> int:
        """Simulator steps between kept frames."""
        return int(self.manifest["keep"])

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self.manifest["shards"])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """`[trajectories]` kept frames of each trajectory, in shard order."""
        return np.concatenate([np.asarray(part, dtype=np.int64) for part in self.manifest["lengths"]])

    def shard(self, index: int) -> list[Trajectory]:
        """The trajectories of one shard, in the order they were written."""
        size, dims = self.manifest["size"], self.manifest["dims"]
        table = pq.read_table(self.folder / shard_name(index)).to_pydict()
        return [
            Trajectory(
                episode,
                np.frombuffer(frames, np.uint8).reshape(-1, size, size, 3),
                np.asarray(proprio, np.float32).reshape(-1, dims["proprio"]),
                np.asarray(states, np.float64).reshape(-1, dims["state"]),
                np.asarray(actions, np.float32).reshape(-1, dims["action"]),
            )
            for episode, frames, proprio, states, actions in zip(
                *(table[name] for name in ("episode", "frames", "proprio", "states", "actions")), strict=True
            )
        ]

    def __iter__(self) -> Iterator[list[Trajectory]]:
        for index in range(self.shards):
            yield self.shard(index)
