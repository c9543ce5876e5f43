"""Poses and the actions between them, against scipy."""

import numpy as np
from scipy.spatial.transform import Rotation

from worldgrid.poses import angles, follow, moves, quaternion_angles, rotation


def turns(count: int = 50) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.5, 1.5, (count, 3))


def test_angles_are_about_fixed_axes() -> None:
    np.testing.assert_allclose(rotation(turns()), Rotation.from_euler("xyz", turns()).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(angles(rotation(turns())), turns(), atol=1e-9)


def test_quaternions_have_their_real_part_last() -> None:
    turned = Rotation.from_euler("xyz", turns())
    np.testing.assert_allclose(quaternion_angles(turned.as_quat()), turns(), atol=1e-9)


def test_an_action_leads_from_a_pose_to_the_next() -> None:
    poses = np.concatenate([np.random.default_rng(1).standard_normal((50, 3)), turns(), np.arange(50)[:, None]], axis=1)
    found, turned = moves(poses), Rotation.from_euler("xyz", turns())
    np.testing.assert_allclose(found[:, :3], np.diff(poses[:, :3], axis=0))
    np.testing.assert_allclose(found[:, 6], 1)
    again = Rotation.from_euler("xyz", found[:, 3:6]) * turned[:-1]
    np.testing.assert_allclose(again.as_matrix(), turned[1:].as_matrix(), atol=1e-9)


def test_following_the_moves_leads_along_the_poses() -> None:
    poses = np.concatenate([turns(), turns(), turns()[:, :1]], axis=1)
    np.testing.assert_allclose(follow(poses[:-1], moves(poses)), poses[1:], atol=1e-9)
