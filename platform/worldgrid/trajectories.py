"""Trajectories: recorded episodes on disk. Shards of Parquet, one row per trajectory, and a manifest written last.

T kept frames, F frames of a shard, S frame side, Q proprio, X state, a simulator action. Frames are raw bytes under
zstd: measured on 64 px renderings this is as small as PNG and reads and writes an order of magnitude faster.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from worldgrid.envs import Frames
from worldgrid.spec import JSON
from worldgrid.store import file_digest, write_whole

SCHEMA = 2
"""2: counts, statistics, what was skipped, and a digest of it all."""
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
            "frames": pa.array([np.ascontiguousarray(t.frames).ravel().data for t in trajectories], pa.large_binary()),
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


def write_manifest(
    folder: Path, *, shards: int, keep: int, size: int, dims: JSON, skipped: Sequence[JSON] = ()
) -> JSON:
    """Describe a complete folder of shards: counts, dimensions, statistics, digests.

    `dims` names action, proprio and state; `skipped` are recordings that could not be used, each with its `name` and
    `why`. `content` is a SHA-256 of all the rest.
    """
    files = [shard_name(index) for index in range(shards)]
    columns = [pq.read_table(folder / name, columns=["episode", "length"]) for name in files]
    lengths = [table["length"].to_pylist() for table in columns]
    manifest = {
        "schema": SCHEMA,
        "keep": keep,
        "size": size,
        "dims": dims,
        "counts": {"episodes": sum(map(len, lengths)), "frames": sum(map(sum, lengths)), "skipped": len(skipped)},
        "statistics": {
            name: _moments([folder / file for file in files], name, dims[dim])
            for name, dim in (("actions", "action"), ("proprio", "proprio"))
        },
        "episodes": [table["episode"].to_pylist() for table in columns],
        "lengths": lengths,
        "skipped": list(skipped),
        "shards": {name: file_digest(folder / name) for name in files},
    }
    manifest["content"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _moments(files: Sequence[Path], column: str, width: int) -> JSON:
    """Mean and standard deviation of each of a column's `width` numbers over all shards, one shard in memory."""
    count, total, squares = 0, np.zeros(width), np.zeros(width)
    for file in files:
        rows = _flat(pq.read_table(file, columns=[column])[column], np.float64).reshape(-1, width)
        count, total, squares = count + len(rows), total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
    mean = total / max(count, 1)
    spread = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return {"mean": mean.tolist(), "std": spread.tolist()}


def _flat(column: pa.ChunkedArray, kind: DTypeLike) -> NDArray[Any]:
    """The numbers of a column of lists, one list after the other."""
    numbers: NDArray[Any] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return numbers.astype(kind, copy=False)


class Controls(NamedTuple):
    """All of a shard but its frames, trajectory after trajectory."""

    lengths: list[int]
    """Kept frames of each trajectory; F in all."""
    proprio: NDArray[np.float32]
    """`[F, Q]`."""
    states: NDArray[np.float64]
    """`[F, X]`."""
    actions: NDArray[np.float32]
    """`[F, keep * a]`: from each kept frame to the next; zeros behind a trajectory's last frame."""


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
        dims = self.manifest["dims"]
        table = pq.read_table(self.folder / shard_name(index), columns=["episode", "proprio", "states", "actions"])
        return [
            Trajectory(
                episode,
                frames,
                np.asarray(proprio, np.float32).reshape(-1, dims["proprio"]),
                np.asarray(states, np.float64).reshape(-1, dims["state"]),
                np.asarray(actions, np.float32).reshape(-1, dims["action"]),
            )
            for frames, episode, proprio, states, actions in zip(
                self.frames(index), *table.to_pydict().values(), strict=True
            )
        ]

    def frames(self, index: int) -> Iterator[Frames]:
        """`[T, S, S, 3]` of every trajectory of one shard in turn, one in memory at a time."""
        size = self.manifest["size"]
        with pq.ParquetFile(self.folder / shard_name(index)) as file:
            for batch in file.iter_batches(batch_size=1, columns=["frames"]):
                yield np.frombuffer(batch.column("frames")[0].as_buffer(), np.uint8).reshape(-1, size, size, 3)

    def controls(self, index: int) -> Controls:
        """All of one shard but its frames, which are not read."""
        dims, keep = self.manifest["dims"], self.keep
        table = pq.read_table(self.folder / shard_name(index), columns=["length", "proprio", "states", "actions"])
        lengths = table["length"].to_pylist()
        actions = np.zeros((sum(lengths), keep * dims["action"]), np.float32)
        moving = np.ones(len(actions), bool)
        moving[np.cumsum(lengths) - 1] = False
        actions[moving] = _flat(table["actions"], np.float32).reshape(-1, keep * dims["action"])
        proprio = _flat(table["proprio"], np.float32).reshape(-1, dims["proprio"])
        return Controls(lengths, proprio, _flat(table["states"], np.float64).reshape(-1, dims["state"]), actions)

    def __iter__(self) -> Iterator[list[Trajectory]]:
        for index in range(self.shards):
            yield self.shard(index)
