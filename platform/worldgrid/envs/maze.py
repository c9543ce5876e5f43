"""The mazes of d4rl: their cells, their MuJoCo models as text, flat pictures of them. n frames, S side in pixels.

Facts and numbers: `maze2d-umaze` of d4rl as the study rebuilds it (paper, simulated environments: PointMaze), and the
cells of its `medium` and `large`, which the study does not use; the camera stands as much higher as they are wider.
World coordinates in metres: cell (i, j) is centred at (i + 1, j + 1); the ball's joints read world minus 1.2.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worldgrid.envs import Floats, Frames
from worldgrid.envs.draw import chunks

Name = Literal["umaze", "medium", "large"]
CELLS: dict[Name, tuple[str, ...]] = {
    "umaze": ("#####", "#...#", "###.#", "#...#", "#####"),
    "medium": (
        "########",
        "#..##..#",
        "#..#...#",
        "##...###",
        "#..#...#",
        "#.#..#.#",
        "#...#..#",
        "########",
    ),
    "large": (
        "############",
        "#....#.....#",
        "#.##.#.#.#.#",
        "#......#...#",
        "#.####.###.#",
        "#..#.#.....#",
        "##.#.#.#.###",
        "#..#...#...#",
        "############",
    ),
}
"""Rows are x, letters y. The U: two columns along y, at small and large x, joined by a bar at large y."""
OFFSET = 1.2
"""World position of the ball where its joints read zero, metres."""
BALL = 0.2
"""Radius of the ball the study draws, metres; the one that collides has half of it."""
HEIGHT = 9.73
"""How far above the U the study's camera looks straight down, metres (azimuth 90, elevation -90 degrees)."""
MARGIN = 0.2
"""How far from every wall cell starts and goals lie, metres."""
FLOOR, BRICK, GREEN = (38.0, 64.0, 89.0), (178.0, 128.0, 77.0), (77.0, 153.0, 77.0)
"""Colours of the flat picture: the model's, 0 to 255, the floor's two blues mixed."""


def walls(maze: Name) -> list[tuple[float, float]]:
    """World (x, y) of the middles of the wall cells, which are cubes of one metre, metres."""
    return [(i + 1.0, j + 1.0) for i, row in enumerate(CELLS[maze]) for j, cell in enumerate(row) if cell == "#"]


def extent(maze: Name) -> tuple[int, int]:
    """Cells along x and along y."""
    return len(CELLS[maze]), len(CELLS[maze][0])


def middle(maze: Name) -> tuple[float, float]:
    """World (x, y) of the middle of a maze, metres."""
    x, y = extent(maze)
    return (x + 1) / 2, (y + 1) / 2


def height(maze: Name) -> float:
    """How far above the middle the camera stands, metres."""
    return HEIGHT * max(extent(maze)) / 5


def half_view(maze: Name) -> float:
    """Half of what the camera sees, metres: MuJoCo's field of view is 45 degrees."""
    return height(maze) * math.tan(math.radians(22.5))


def is_free(maze: Name, position: Floats) -> bool:
    """Whether `[2]` joint positions lie far enough from every wall, as where the study draws them."""
    outside = np.abs(np.array(walls(maze)) - OFFSET - position).max(axis=1) - 0.5
    return bool((outside >= MARGIN).all())


def model(maze: Name, ball: float) -> str:
    """The MuJoCo model, with the ball drawn `ball` times as large as in the study; no target is drawn.

    A sphere of 0.1 m and 1,000 kg/m3 on two slides with damping 1 and motors of 100 N; no gravity, steps of 0.01 s.
    """
    boxes = "\n".join(
        f'    <geom type="box" material="wall" pos="{x} {y} 0" size="0.5 0.5 0.2" contype="2"/>' for x, y in walls(maze)
    )
    return f"""<mujoco model="{maze}">
  <compiler inertiafromgeom="true"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <visual>
    <headlight ambient="0.4 0.4 0.4" diffuse="0.8 0.8 0.8" specular="0.1 0.1 0.1"/>
    <quality offsamples="0"/>
  </visual>
  <default>
    <geom density="1000" margin="0.002" condim="1"/>
  </default>
  <asset>
    <texture name="floor" type="2d" builtin="checker" rgb1="0.2 0.3 0.4" rgb2="0.1 0.2 0.3" width="100" height="100"/>
    <material name="floor" texture="floor" texrepeat="20 20"/>
    <material name="wall" rgba="0.7 0.5 0.3 1"/>
  </asset>
  <worldbody>
    <geom type="plane" material="floor" pos="0 0 -0.1" size="40 40 0.25" contype="0" conaffinity="0"/>
{boxes}
    <body pos="{OFFSET} {OFFSET} 0">
      <joint name="x" type="slide" axis="1 0 0" damping="1"/>
      <joint name="y" type="slide" axis="0 1 0" damping="1"/>
      <geom type="sphere" size="0.1" rgba="0 0 0 0"/>
      <site size="{BALL * ball}" rgba="0.3 0.6 0.3 1"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
    <motor joint="y" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


def flat(maze: Name, positions: Floats, size: int, ball: float) -> Frames:
    """The maze from above with the ball at each of `[n, 2]` joint positions, drawn without OpenGL.

    The same view as the camera's, without perspective: x grows to the right, y upwards; edges are antialiased.
    """
    scale = size / (2 * half_view(maze))
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    centres = ((positions + OFFSET - middle(maze)) * (scale, -scale) + size / 2).astype(np.float32)
    empty = _empty(maze, size)
    frames = np.empty((len(positions), size, size, 3), np.uint8)
    for part in chunks(len(positions)):
        squares = (pixels - centres[part, :, None]) ** 2
        away = np.sqrt(squares[:, 1, :, None] + squares[:, 0, None, :])
        covered = np.clip(np.float32(BALL * ball * scale + 0.5) - away, 0, 1)
        for channel, colour in enumerate(GREEN):
            floor = empty[..., channel]
            frames[part, ..., channel] = floor + covered * (np.float32(colour) - floor)
    return frames


@lru_cache
def _empty(maze: Name, size: int, finer: int = 4) -> NDArray[np.float32]:
    """`[S, S, 3]` the maze without a ball, each pixel the mean of `finer` x `finer` samples."""
    places = half_view(maze) * ((np.arange(size * finer) + 0.5) * 2 / (size * finer) - 1)
    x, y = middle(maze)[0] + places[None, :], middle(maze)[1] + places[::-1, None]
    brick = np.zeros((size * finer, size * finer), bool)
    for i, j in walls(maze):
        brick |= (np.abs(x - i) <= 0.5) & (np.abs(y - j) <= 0.5)
    share = brick.reshape(size, finer, size, finer).mean(axis=(1, 3), dtype=np.float32)[..., None]
    empty: NDArray[np.float32] = np.array(FLOOR, np.float32) * (1 - share) + np.array(BRICK, np.float32) * share
    return empty
