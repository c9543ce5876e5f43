"""Poses of a robot's hand, and the actions that lead from one to the next. T moments.

A pose is position (m) and three angles (rad) about the fixed axes x, y, z, in this order: R = Rz Ry Rx.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def moves(poses: Floats) -> Floats:
    """`[T, 7]` poses with gripper -> `[T - 1, 7]` actions: differences, of angles those of R' times R transposed.

    Source: jepa-wms, DROID's loader, as V-JEPA 2's.
    """
    turned = rotation(poses[:, 3:6])
    turns = angles(turned[1:] @ turned[:-1].swapaxes(1, 2))
    return np.concatenate([np.diff(poses[:, :3], axis=0), turns, np.diff(poses[:, 6:], axis=0)], axis=1)


def follow(poses: Floats, actions: Floats) -> Floats:
    """`[n, 7]` poses and `[n, 7]` actions -> `[n, 7]` where each leads: `moves`, the other way round."""
    turned = angles(rotation(actions[:, 3:6]) @ rotation(poses[:, 3:6]))
    return np.concatenate([poses[:, :3] + actions[:, :3], turned, poses[:, 6:] + actions[:, 6:]], axis=1)


def rotation(turns: Floats) -> Floats:
    """`[T, 3]` angles -> `[T, 3, 3]` matrices."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(turns).T, np.sin(turns).T
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def angles(turned: Floats) -> Floats:
    """`[T, 3, 3]` matrices -> `[T, 3]` angles."""
    x = np.arctan2(turned[:, 2, 1], turned[:, 2, 2])
    y = np.arcsin(np.clip(-turned[:, 2, 0], -1, 1))
    z = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    return np.stack([x, y, z], axis=1)


def quaternion_angles(quaternions: NDArray[np.floating]) -> Floats:
    """`[T, 4]` unit quaternions (x, y, z, w), as robosuite writes them -> `[T, 3]` angles."""
    x, y, z, w = quaternions.astype(np.float64).T
    turned = np.zeros((len(quaternions), 3, 3))
    turned[:, 2, 1], turned[:, 2, 2] = 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    turned[:, 2, 0] = 2 * (x * z - y * w)
    turned[:, 1, 0], turned[:, 0, 0] = 2 * (x * y + z * w), 1 - 2 * (y * y + z * z)
    return angles(turned)
