"""DINO-WM's PointMaze and Wall."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sources.made import numbers, pictures, read, save
from worldgrid.trajectories import Trajectory


@pytest.fixture
def maze(tmp_path: Path) -> Path:
    """Lengths 6, 4, 5, 5, 5 in tables of 8: the third's frames are of 0 to 1, the fourth's of no colours."""
    save(tmp_path / "states.pth", numbers(5, 8, 4))
    save(tmp_path / "actions.pth", numbers(5, 8, 2))
    save(tmp_path / "seq_lengths.pth", np.array([6, 4, 5, 5, 5]))
    save(tmp_path / "obses" / "episode_000.pth", pictures(6, seed=0))
    save(tmp_path / "obses" / "episode_001.pth", pictures(4, seed=1).astype(np.float32))
    save(tmp_path / "obses" / "episode_002.pth", pictures(5, seed=2).astype(np.float32) / 255)
    save(tmp_path / "obses" / "episode_003.pth", pictures(5, seed=3)[..., 0])
    (tmp_path / "obses" / "episode_004.pth").write_bytes(b"PK nothing")
    return tmp_path


def test_a_maze_of_bytes_or_of_numbers_is_read_to_the_bit(maze: Path) -> None:
    first, second, *_ = read(maze, "pointmaze").values()
    for episode, (found, length) in enumerate(((first, 6), (second, 4))):
        assert isinstance(found, Trajectory)
        np.testing.assert_array_equal(found.frames, pictures(length, seed=episode))
        np.testing.assert_array_equal(found.states, numbers(5, 8, 4)[episode, :length])
        np.testing.assert_array_equal(found.proprio, numbers(5, 8, 4)[episode, :length])
        np.testing.assert_array_equal(found.actions, numbers(5, 8, 2)[episode, : length - 1])


def test_frames_of_the_wrong_kind_shape_or_file_are_corrupt(maze: Path) -> None:
    *_, scaled, flat, broken = read(maze, "pointmaze").values()
    assert "between 0 and 1" in str(scaled)
    assert "shape [5, 16, 16]" in str(flat)
    assert "no file of a tensor" in str(broken)


def test_a_walls_frames_have_their_colours_in_front(tmp_path: Path) -> None:
    save(tmp_path / "states.pth", numbers(2, 5, 2))
    save(tmp_path / "actions.pth", numbers(2, 5, 2))
    for episode in range(2):
        save(tmp_path / "obses" / f"episode_{episode:03d}.pth", np.moveaxis(pictures(5, seed=episode), -1, 1).copy())
    save(tmp_path / "door_locations.pth", torch.zeros(2, 5, 2))
    for episode, found in enumerate(read(tmp_path, "wall").values()):
        assert isinstance(found, Trajectory)
        np.testing.assert_array_equal(found.frames, pictures(5, seed=episode))
        np.testing.assert_array_equal(found.states, numbers(2, 5, 2)[episode])
        np.testing.assert_array_equal(found.actions, numbers(2, 5, 2)[episode, :-1])
