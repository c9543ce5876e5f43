"""Recorded episodes on disk."""

from pathlib import Path

import numpy as np
import pytest

from worldgrid.trajectories import Trajectories, Trajectory, shard_name, write_manifest, write_shard


def recorded(episode: int, frames: int, keep: int = 2) -> Trajectory:
    rng = np.random.default_rng(episode)
    return Trajectory(
        episode,
        rng.integers(0, 256, (frames, 8, 8, 3), dtype=np.uint8),
        rng.standard_normal((frames, 4), np.float32),
        rng.standard_normal((frames, 3)),
        rng.standard_normal(((frames - 1) * keep, 2), np.float32),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(tmp_path / shard_name(0), [recorded(0, 5), recorded(1, 2)])
    write_shard(tmp_path / shard_name(1), [recorded(2, 7)])
    write_manifest(tmp_path, shards=2, keep=2, size=8, dims={"action": 2, "proprio": 4, "state": 3})
    return tmp_path


def test_what_was_written_is_read_back_to_the_bit(folder: Path) -> None:
    read = [trajectory for shard in Trajectories(folder) for trajectory in shard]
    for found, wanted in zip(read, [recorded(0, 5), recorded(1, 2), recorded(2, 7)], strict=True):
        assert found.episode == wanted.episode
        for name in ("frames", "proprio", "states", "actions"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
            assert getattr(found, name).dtype == getattr(wanted, name).dtype


def test_lengths_are_known_without_reading_frames(folder: Path) -> None:
    assert Trajectories(folder).lengths.tolist() == [5, 2, 7]
    assert Trajectories(folder).keep == 2


def test_the_manifest_changes_when_one_byte_of_a_shard_does(tmp_path: Path) -> None:
    digests = []
    for last in (0, 1):
        changed = recorded(0, 3)
        changed.frames[-1, -1, -1, -1] = last
        write_shard(tmp_path / shard_name(0), [changed])
        manifest = write_manifest(tmp_path, shards=1, keep=2, size=8, dims={"action": 2, "proprio": 4, "state": 3})
        digests.append(manifest["shards"])
    assert digests[0] != digests[1]


def test_the_same_trajectories_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / name, [recorded(0, 5)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
