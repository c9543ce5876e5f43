"""Recordings of robots: RoboCasa, DROID, Franka."""

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.sources.made import hdf5, mp4, numbers, pictures, put, read
from worldgrid.poses import moves
from worldgrid.trajectories import Trajectory


def pose(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`[count, 6]` cartesian positions and `[count]` grippers."""
    return numbers(count, 6, seed=seed).astype(np.float64), numbers(count, seed=seed).astype(np.float64)


def test_robocasa_demonstrations_come_by_their_numbers(tmp_path: Path) -> None:
    turned = Rotation.from_euler("xyz", numbers(5, 3) / 2)
    content = {}
    for demo in (10, 2, 7):
        obs = f"data/demo_{demo}/obs/robot0_"
        content |= {
            f"data/demo_{demo}/actions": numbers(5, 12, seed=demo),
            f"{obs}eef_pos": numbers(5, 3, seed=demo),
            f"{obs}eef_quat": turned.as_quat(),
            f"{obs}gripper_qpos": numbers(5, 2, seed=demo),
        }
        if demo != 7:
            content[f"{obs}leftview_image"] = pictures(5, seed=demo)
    hdf5(tmp_path / "combine_all_im256.hdf5", content)
    found = read(tmp_path, "robocasa")
    assert list(found) == ["demo_2", "demo_7", "demo_10"]
    assert "leftview_image" in str(found["demo_7"])
    one = found["demo_10"]
    assert isinstance(one, Trajectory)
    np.testing.assert_array_equal(one.frames, pictures(5, seed=10))
    np.testing.assert_array_equal(one.actions, numbers(5, 12, seed=10)[:4, :7])
    np.testing.assert_allclose(one.proprio[:, 3:6], numbers(5, 3) / 2, atol=1e-6)
    np.testing.assert_array_equal(one.proprio[:, 6], numbers(5, 2, seed=10)[:, 0])


def test_a_demonstration_of_words_is_corrupt(tmp_path: Path) -> None:
    obs = "data/demo_0/obs/robot0_"
    content = {
        "data/demo_0/actions": np.array([b"left", b"right"]),
        f"{obs}eef_pos": numbers(2, 3),
        f"{obs}eef_quat": numbers(2, 4),
        f"{obs}gripper_qpos": numbers(2, 2),
        f"{obs}leftview_image": pictures(2),
    }
    hdf5(tmp_path / "all.hdf5", content)
    assert "all.hdf5: Can't" in str(read(tmp_path, "robocasa")["demo_0"])


def droid(folder: Path, frames: int, seed: int = 0) -> None:
    cartesian, gripper = pose(frames, seed)
    state = "observation/robot_state/"
    hdf5(
        folder / "trajectory.h5",
        {f"{state}cartesian_position": cartesian, f"{state}gripper_position": gripper},
    )
    put(folder / "metadata_abc.json", json.dumps({"left_mp4_path": "success/day/recordings/MP4/123.mp4"}).encode())
    put(folder / "recordings" / "MP4" / "123.mp4", mp4(pictures(frames, 16, 24, seed=seed), fps=10))
    put(folder / "recordings" / "MP4" / "456.mp4", mp4(pictures(frames, 16, 24, seed=99), fps=10))


def test_droid_is_read_at_four_frames_a_second(tmp_path: Path) -> None:
    droid(tmp_path / "success" / "one", 11)
    found = read(tmp_path, "droid")["success/one"]
    assert isinstance(found, Trajectory)
    np.testing.assert_array_equal(found.frames, pictures(11, 16, 24)[::3, :, 4:20])  # ceil(10 / 4) = 3
    cartesian, gripper = pose(11)
    kept = np.concatenate([cartesian, gripper[:, None]], axis=1)[::3]
    np.testing.assert_array_equal(found.states, kept)
    np.testing.assert_allclose(found.actions, moves(kept), rtol=1e-5)


def test_of_droid_only_what_is_listed_is_read_and_what_is_damaged_is_corrupt(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c", "d")):
        droid(tmp_path / name, 9, seed)
    (tmp_path / "paths.csv").write_text("c 0\na 1\nb 2\n")
    (tmp_path / "a" / "metadata_abc.json").write_text("{")
    (tmp_path / "b" / "trajectory.h5").write_bytes(b"nothing")
    found = read(tmp_path, "droid", listed="paths.csv")
    assert list(found) == ["c", "a", "b"]
    assert isinstance(found["c"], Trajectory)
    assert "left_mp4_path" in str(found["a"])
    assert "trajectory.h5" in str(found["b"])


def test_franka_recordings_lie_in_any_depth(tmp_path: Path) -> None:
    cartesian, gripper = pose(20)
    observed = "episode_data/observation/"
    hdf5(
        tmp_path / "data" / "pick" / "liftcup_v0" / "run_0001" / "episode.h5",
        {
            f"{observed}cartesian_position": cartesian,
            f"{observed}gripper_position": gripper,
            f"{observed}exterior_image_2_left": pictures(20),
        },
    )
    (found,) = read(tmp_path, "franka").values()
    assert isinstance(found, Trajectory)
    np.testing.assert_array_equal(found.frames, pictures(20)[::8])  # ceil(30 / 4) = 8
    np.testing.assert_array_equal(found.states, np.concatenate([cartesian, gripper[:, None]], axis=1)[::8])
