"""The study's PointMaze: a ball pushed through a maze, plain MuJoCo. B episodes, n states; metres and seconds.

Facts: d4rl's `maze2d-umaze` with five physics steps of 0.01 s to a simulator step (paper, simulated environments).
A step begins from positions and velocities alone, everything else zero, so that restored episodes replay to the bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal, final

import mujoco
import numpy as np
from pydantic import Field

from worldgrid.envs import Floats, Frames
from worldgrid.envs.gl import FreeCamera, Scene, draw, pose
from worldgrid.envs.maze import Name, extent, flat, height, is_free, middle, model
from worldgrid.envs.planar import PlanarSpec, through_door

PHYSICS_STEPS = 5
"""Steps of 0.01 s in one simulator step (d4rl's `frame_skip`; not the platform's `frameskip`)."""
FASTEST = 5.0
"""Velocities are clipped to this before every simulator step, m/s."""
VELOCITY = 5.2262554
"""Starts and goals draw each velocity from plus or minus this, m/s."""
OPENING = (1.3, 2.3), (2.3, 3.3)
"""Faces of the wall between the columns (x) and of the bar (y), metres: cells (2, 1) and (2, 2), and (2, 3)."""


@final
class PointMaze(PlanarSpec):
    """Settings of the maze; state = proprioception = (x, y, velocity of x, velocity of y)."""

    kind: Literal["pointmaze"] = "pointmaze"
    maze: Name = "umaze"
    """The U of the study, or d4rl's medium (8 x 8 cells) or large (9 x 12 cells)."""
    renderer: Literal["gl", "raster"] = "gl"
    """`gl`: MuJoCo's picture from the study's camera, without its shadows, reflections, skybox, haze and target (twice
    as fast); needs EGL. `raster`: a flat picture of the same view in numpy; needs nothing, and is not the study's."""
    ball: float = Field(default=1.8, gt=0, le=5)
    """How many times larger than in the study (0.2 m radius) the ball is drawn: 1.8 is easier to see at 64 px, 1 is the
    study's. The physics does not change."""
    threshold: float = Field(default=0.5, gt=0)
    """A final distance below this is a success, metres; velocity does not count."""

    action_dim: ClassVar[int] = 2
    action_limit: ClassVar[float] = 1.0
    """Force in units of 100 N; the motors clip at this."""
    proprio_dim: ClassVar[int] = 4
    state_dim: ClassVar[int] = 4

    def draw_start(self, stream: np.random.Generator) -> Floats:
        """A place that is far enough from the walls and a velocity, both uniform (the U: 0.5 to 3.1 m)."""
        while True:
            place = stream.uniform(0.5, np.array(extent(self.maze)) - 1.9)
            if is_free(self.maze, place):
                return np.array([*place, *stream.uniform(-VELOCITY, VELOCITY, 2)])

    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """Two starts, drawn independently as in the study: some lie within the threshold of each other."""
        return self.draw_start(stream), self.draw_start(stream)

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """Push for 0.05 s."""
        maze = _maze(self.maze)
        data = mujoco.MjData(maze)
        after = np.empty_like(states)
        for before, action, row in zip(states, actions, after, strict=True):
            mujoco.mj_resetData(maze, data)
            data.qpos[:] = before[:2]
            data.qvel[:] = before[2:].clip(-FASTEST, FASTEST)
            data.ctrl[:] = action.clip(-1.0, 1.0)
            mujoco.mj_step(maze, data, nstep=PHYSICS_STEPS)
            row[:2], row[2:] = data.qpos, data.qvel
        return after

    def geodesic(self, first: Floats, second: Floats) -> Floats | None:
        """Around the bend of the U, metres: for the ball's middle, as if it had no width; velocities do not count."""
        if self.maze != "umaze":
            return None
        return through_door(first, second, *OPENING)

    def render(self, states: Floats) -> Frames:
        """The maze from above; velocities do not show. Raises ConfigError where `gl` is asked for and cannot be had."""
        if self.renderer == "raster":
            return flat(self.maze, states[:, :2], self.size, self.ball)
        maze = _maze(self.maze)
        data = mujoco.MjData(maze)
        poses = []
        for state in states:
            data.qpos[:] = state[:2]
            mujoco.mj_kinematics(maze, data)
            poses.append(pose(data))
        return draw(self.scene, np.stack(poses))

    @property
    def scene(self) -> Scene:
        """What `gl` draws."""
        camera = FreeCamera(lookat=(*middle(self.maze), 0.0), distance=height(self.maze))
        return Scene(model(self.maze, self.ball), self.size, camera, instead="`renderer: raster`")


@lru_cache
def _maze(maze: Name) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(model(maze, ball=1.0))
