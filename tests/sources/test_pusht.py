"""DINO-WM's Push-T."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.sources.made import mp4, numbers, pictures, put, read, save
from worldgrid.spec import ConfigError
from worldgrid.trajectories import Trajectory

LENGTHS = [5, 7, 6, 5, 4]
"""In a table of 9; the third video lacks its last frame, the fourth is damaged, the fifth is not there."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name, width in (("states", 5), ("velocities", 2), ("rel_actions", 2), ("abs_actions", 2)):
        save(tmp_path / "train" / f"{name}.pth", numbers(5, 9, width))
    (tmp_path / "train" / "seq_lengths.pkl").write_bytes(pickle.dumps(LENGTHS))
    for episode, drawn in enumerate((5, 7, 5)):
        put(tmp_path / "train" / "obses" / f"episode_{episode:03d}.mp4", mp4(pictures(drawn, seed=episode)))
    put(tmp_path / "train" / "obses" / "episode_003.mp4", mp4(pictures(5))[:400])
    return tmp_path


def test_every_number_and_frame_is_in_its_place(release: Path) -> None:
    for episode, kept in enumerate((5, 7, 5)):
        found = list(read(release, "pusht", episodes=3).values())[episode]
        assert isinstance(found, Trajectory)
        drawn = (5, 7, 5)[episode]
        np.testing.assert_array_equal(found.frames, pictures(drawn, seed=episode))
        states, velocities = numbers(5, 9, 5)[episode, :kept], numbers(5, 9, 2)[episode, :kept]
        np.testing.assert_array_equal(found.states, np.concatenate([states, velocities], axis=1))
        np.testing.assert_array_equal(found.proprio, np.concatenate([states[:, :2], velocities], axis=1))
        np.testing.assert_allclose(found.actions, numbers(5, 9, 2)[episode, : kept - 1] / 100, rtol=1e-6)


def test_a_damaged_video_is_said_to_be(release: Path) -> None:
    assert "video" in str(read(release, "pusht", episodes=4)["train/obses/episode_003.mp4"])


def test_lengths_that_would_run_code_are_refused_unread(release: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(release / "exploded"),)  # type: ignore[return-value]

    (release / "train" / "seq_lengths.pkl").write_bytes(pickle.dumps([5, Bomb()]))
    with pytest.raises(ConfigError, match="not a pickled list of whole numbers"):
        read(release, "pusht")
    assert not (release / "exploded").exists()


def test_a_table_that_would_run_code_is_refused(release: Path) -> None:
    save(release / "train" / "states.pth", Path("x"))
    with pytest.raises(ConfigError, match=r"states\.pth"):
        read(release, "pusht")


def test_a_lossy_video_is_close(release: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 250, 16, dtype=np.uint8)[None, None, :, None], (5, 16, 16, 3)).copy()
    put(release / "train" / "obses" / "episode_000.mp4", mp4(ramp, lossless=False))
    found = read(release, "pusht", episodes=1)["train/obses/episode_000.mp4"]
    assert isinstance(found, Trajectory)
    assert np.abs(found.frames.astype(int) - ramp).mean() < 3
