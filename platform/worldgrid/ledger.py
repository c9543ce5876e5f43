"""The ledger of an evaluation: its episodes, cut into chunks, each chunk a file that is written once.

A chunk's file name says which episodes it holds, and its rows are a function of the recipe alone, so writing it twice
changes nothing. An evaluation is done when all its chunks are there. S steps, X state, a action.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldgrid.envs import ENVS
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import write_once, write_whole

EPISODES = "episodes.parquet"

SCHEMA = pa.schema(
    [
        ("episode", pa.int64()),
        ("seed", pa.int64()),
        ("success", pa.bool_()),
        ("ever_success", pa.bool_()),
        ("solved_at_start", pa.bool_()),
        ("distance", pa.float64()),
        ("start_distance", pa.float64()),
        ("plans", pa.int64()),
        ("calls", pa.int64()),
        ("rejected", pa.int64()),
        ("first_costs", pa.list_(pa.float64())),
        ("last_costs", pa.list_(pa.float64())),
        ("states", pa.list_(pa.float64())),
        ("actions", pa.list_(pa.float32())),
        ("goal", pa.list_(pa.float64())),
    ]
)
"""One row per episode; nested arrays are flattened: `states` [S + 1, X], `actions` [S, a]."""


def chunks(step: Step) -> list[range]:
    """The episodes of an evaluation, cut into units of work of `evaluate.batch` episodes."""
    episodes, batch = step.config["evaluate"]["episodes"], step.config["evaluate"]["batch"]
    return [range(first, min(first + batch, episodes)) for first in range(0, episodes, batch)]


def chunk_path(folder: Path, chunk: range) -> Path:
    """Where a chunk's rows lie."""
    return folder / "chunks" / f"{chunk.start:06d}-{chunk.stop:06d}.parquet"


def write_chunk(folder: Path, chunk: range, episodes: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a chunk, arrays flattened, unless they are there."""
    rows = [{name: _flat(episode[name]) for name in SCHEMA.names} for episode in episodes]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    write_once(chunk_path(folder, chunk), sink.getvalue())


def _flat(value: Any) -> Any:
    return np.ravel(value).tolist() if np.ndim(value) else value


def count(folder: Path, chunk: range) -> JSON:
    """Episodes and successes of a chunk that was written."""
    success = pq.read_table(chunk_path(folder, chunk), columns=["success"])["success"].to_pylist()
    return {"episodes": len(success), "successes": sum(success)}


def read_actions(folder: Path, episode: int, width: int) -> NDArray[np.float32]:
    """`[S, a]` what a played episode sent to the simulator, `width` = a numbers a step."""
    whole = folder / EPISODES
    parts = [whole] if whole.exists() else sorted((folder / "chunks").glob("*.parquet"))
    tables = [pq.read_table(part, columns=["actions"], filters=[("episode", "=", episode)]) for part in parts]
    (found,) = pa.concat_tables(tables)["actions"].to_pylist()
    return np.asarray(found, np.float32).reshape(-1, width)


def set_aside(folder: Path, chunk: range, text: str) -> Path:
    """Leave the log of a chunk that cannot be played, and say where; the next run tries the chunk again."""
    path = folder / "aside" / f"{chunk.start:06d}-{chunk.stop:06d}.log"
    write_whole(path, text.encode())
    return path


def finish(step: Step, folder: Path) -> JSON:
    """Put the chunks together, check that every episode is there once, and sum up."""
    rows = pa.concat_tables([pq.read_table(chunk_path(folder, chunk)) for chunk in chunks(step)])
    wanted = step.config["evaluate"]["episodes"]
    assert rows["episode"].to_pylist() == list(range(wanted)), f"{step.key}: episodes are missing or doubled"
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    write_whole(folder / EPISODES, sink.getvalue())
    success, distance = rows["success"].to_numpy(), rows["distance"].to_numpy()
    return {
        "episodes": wanted,
        "successes": int(success.sum()),
        "success_rate": float(success.mean()),
        "ever_success_rate": float(rows["ever_success"].to_numpy().mean()),
        "solved_at_start": int(rows["solved_at_start"].to_numpy().sum()),
        "distance": float(distance.mean()),
        **ENVS.parse(step.config["env"]).scores(distance),
        "calls": int(rows["calls"].to_numpy().sum()),
        "rejected": int(rows["rejected"].to_numpy().sum()),
    }
