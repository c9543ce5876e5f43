"""LeRobot data sets, version 3."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.made import mp4, numbers, pictures, put, read
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

LENGTHS = [7, 4, 5]
"""The first two episodes share a table and a video; the third's video is damaged."""
CAMERA = "observation.images.top"
FPS = 10


@pytest.fixture
def release(tmp_path: Path) -> Path:
    features = {
        "action": {"dtype": "float32", "shape": [2]},
        "observation.state": {"dtype": "float32", "shape": [3]},
        CAMERA: {"dtype": "video", "shape": [16, 16, 3]},
    }
    info = {"codebase_version": "v3.0", "fps": FPS, "features": features}
    put(tmp_path / "meta" / "info.json", json.dumps(info).encode())
    files, starts = [0, 0, 1], [0.0, 0.7, 0.0]
    episodes = [
        {
            "episode_index": index,
            "length": LENGTHS[index],
            "data/chunk_index": 0,
            "data/file_index": files[index],
            f"videos/{CAMERA}/chunk_index": 0,
            f"videos/{CAMERA}/file_index": files[index],
            f"videos/{CAMERA}/from_timestamp": starts[index],
            f"videos/{CAMERA}/to_timestamp": starts[index] + LENGTHS[index] / FPS,
        }
        for index in range(3)
    ]
    table(tmp_path / "meta" / "episodes" / "chunk-000" / "file-000.parquet", episodes)
    for file, members in ((0, (0, 1)), (1, (2,))):
        rows = [
            {"episode_index": index, "observation.state": state.tolist(), "action": action.tolist()}
            for index in members
            for state, action in zip(numbers(LENGTHS[index], 3, seed=index), numbers(LENGTHS[index], 2), strict=True)
        ]
        table(tmp_path / "data" / "chunk-000" / f"file-{file:03d}.parquet", rows)
    videos = tmp_path / "videos" / CAMERA / "chunk-000"
    put(videos / "file-000.mp4", mp4(np.concatenate([pictures(7, seed=0), pictures(4, seed=1)]), FPS))
    put(videos / "file-001.mp4", b"nothing")
    return tmp_path


def table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_episodes_are_cut_out_of_shared_files_to_the_frame(release: Path) -> None:
    found = read(release, "lerobot")
    for index in range(2):
        one = found[f"episode {index}"]
        assert isinstance(one, Trajectory)
        np.testing.assert_array_equal(one.frames, pictures(LENGTHS[index], seed=index))
        np.testing.assert_array_equal(one.states, numbers(LENGTHS[index], 3, seed=index))
        np.testing.assert_array_equal(one.actions, numbers(LENGTHS[index], 2)[:-1])
    assert "video" in str(found["episode 2"])


@pytest.mark.parametrize("setting", ["camera", "state", "action"])
def test_a_feature_that_is_not_there_is_refused(release: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"has no (feature|video) 'observation\.stat'"):
        read(release, "lerobot", **{setting: "observation.stat"})


def test_older_versions_are_refused(release: Path) -> None:
    (release / "meta" / "info.json").write_text('{"codebase_version": "v2.1", "features": {}}')
    with pytest.raises(ConfigError, match=r"LeRobot v2\.1; v3 fits"):
        read(release, "lerobot")
