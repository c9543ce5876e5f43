"""The study's Metaworld files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.made import mp4, numbers, pictures, read
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory


def row(task: str, episode: int, drawn: int = 6, video: bytes | None = None) -> dict[str, object]:
    return {
        "task": task,
        "seed": 1,
        "episode": episode,
        "video": {"bytes": mp4(pictures(drawn, seed=episode)) if video is None else video, "path": None},
        "states": numbers(6, 39, seed=episode).tolist(),
        "actions": numbers(5, 4, seed=episode).tolist(),
        "rewards": [0.0] * 5,
    }


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two files; the first with two groups of rows. One video is damaged, one lacks its last frame."""
    (tmp_path / "data").mkdir()
    files = [
        [row("mw-reach", 0), row("mw-push", 1), row("mw-reach", 2, drawn=5)],
        [row("mw-reach", 3, video=b"nothing"), row("mw-push", 4)],
    ]
    for index, rows in enumerate(files):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"train-{index}.parquet", row_group_size=2)
    return tmp_path


def test_every_episode_is_read_with_the_frame_its_last_action_leads_to(release: Path) -> None:
    found = read(release, "metaworld")
    assert list(found)[1] == "mw-push seed 1 episode 1"
    for episode, (name, one) in enumerate(found.items()):
        if episode != 3:
            assert isinstance(one, Trajectory), name
            drawn = kept = 5 if episode == 2 else 6
            np.testing.assert_array_equal(one.frames, pictures(drawn, seed=episode))
            np.testing.assert_array_equal(one.states, numbers(6, 39, seed=episode)[:kept])
            np.testing.assert_array_equal(one.proprio, numbers(6, 39, seed=episode)[:kept, :4])
            np.testing.assert_array_equal(one.actions, numbers(5, 4, seed=episode)[: kept - 1])


def test_a_damaged_video_is_corrupt(release: Path) -> None:
    assert "video" in str(read(release, "metaworld")["mw-reach seed 1 episode 3"])


def test_only_the_named_tasks_are_read(release: Path) -> None:
    assert list(read(release, "metaworld", tasks=["mw-push"])) == [
        "mw-push seed 1 episode 1",
        "mw-push seed 1 episode 4",
    ]
    with pytest.raises(ConfigError, match="no episode of tasks mw-reech"):
        read(release, "metaworld", tasks=["mw-reech"])
