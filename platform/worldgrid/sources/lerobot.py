"""LeRobot data sets, version 3: episodes one after the other in Parquet files and in videos. T frames.

meta/info.json, meta/episodes/**.parquet (which rows and which seconds are whose), data/chunk-000/file-000.parquet,
videos/<camera>/chunk-000/file-000.mp4 (huggingface/lerobot, `datasets/utils.py` of version 0.4).
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Literal, final

import numpy as np

from worldgrid.places import Place
from worldgrid.sources import Contents, CorruptError, Recording, SourceSpec, align
from worldgrid.sources.parquet import Rows, groups
from worldgrid.sources.pictures import frames_of
from worldgrid.sources.video import opened, pictures_from
from worldgrid.spec import JSON, ConfigError, suggest
from worldgrid.trajectories import Trajectory

INFO = "meta/info.json"


@final
class LeRobot(SourceSpec):
    """Settings of the reader. State and proprioception are one feature; the data set says what its numbers are."""

    kind: Literal["lerobot"] = "lerobot"
    camera: str | None = None
    """Which of the videos; null: the first one."""
    state: str = "observation.state"
    """Which feature is state and proprioception."""
    action: str = "action"
    """Which feature is the action."""

    def contents(self, place: Place) -> Contents:
        """Every episode of meta/episodes, by its number."""
        features = _features(place)
        for name in (self.state, self.action):
            if name not in features:
                raise ConfigError(f"source {place.address}: has no feature '{name}'{suggest(name, features)}")
        cameras = [name for name, feature in features.items() if feature.get("dtype") == "video"]
        camera = self.camera or next(iter(cameras), "")
        if camera not in cameras:
            raise ConfigError(f"source {place.address}: has no video '{camera}'{suggest(camera, cameras)}")
        tables = [name for name in place.names("meta/episodes") if name.endswith(".parquet")]
        columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        columns += [f"videos/{camera}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        found = [one for file in tables for group in groups(place, file, columns) for one in group]
        found.sort(key=lambda one: int(one["episode_index"]))
        rows = Rows(place, ["episode_index", self.state, self.action])
        recordings = [self._recording(place, rows, camera, one) for one in found[: self.episodes]]
        return Contents((INFO, *tables), recordings)

    def _recording(self, place: Place, rows: Rows, camera: str, one: JSON) -> Recording:
        table = f"data/{_file(one, 'data')}.parquet"
        video = f"videos/{camera}/{_file(one, f'videos/{camera}')}.mp4"
        start = float(one[f"videos/{camera}/from_timestamp"])

        def load(number: int, length: int, episode: int) -> Trajectory:
            held = rows.all(table)
            mine = held.filter([value == number for value in held["episode_index"].to_pylist()])
            state, action = _numbers(mine[self.state]), _numbers(mine[self.action])
            with place.open(video) as file, opened(file) as container:
                frames = frames_of(pictures_from(container, start, length), self.size)
            return align(episode, frames, state, state, action)

        number = int(one["episode_index"])
        return Recording(f"episode {number}", (table, video), partial(load, number, int(one["length"])))


def _features(place: Place) -> dict[str, JSON]:
    try:
        info = json.loads(place.read(INFO))
    except (OSError, ValueError) as error:
        raise ConfigError(f"source {place.address}: {INFO}: cannot be read ({error})") from None
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise ConfigError(f"source {place.address}: LeRobot {version}; v3 fits (lerobot converts older ones)")
    features: dict[str, JSON] = info["features"]
    return features


def _file(one: JSON, prefix: str) -> str:
    return f"chunk-{one[f'{prefix}/chunk_index']:03d}/file-{one[f'{prefix}/file_index']:03d}"


def _numbers(column: Any) -> Any:
    """A feature of an episode as `[T, n]`; raises CorruptError where its rows differ."""
    try:
        found = np.asarray(column.to_pylist(), np.float64)
    except (TypeError, ValueError) as error:
        raise CorruptError(f"numbers of another shape ({error})") from None
    return found.reshape(len(found), -1)
