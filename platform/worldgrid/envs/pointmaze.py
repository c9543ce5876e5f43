"""The study's PointMaze: a ball pushed through a U-shaped maze, plain MuJoCo. B episodes, n states; metres and seconds.

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
from worldgrid.envs.gl import Scene, draw
from worldgrid.envs.planar import PlanarSpec
from worldgrid.envs.umaze import HEIGHT, MIDDLE, flat, model

PHYSICS_STEPS = 5
"""Steps of 0.01 s in one simulator step (d4rl's `frame_skip`; not the platform's `frameskip`)."""
FASTEST = 5.0
"""Velocities are clipped to this before every simulator step, m/s."""
VELOCITY = 5.2262554
"""Starts and goals draw each velocity from plus or minus this, m/s."""
COLUMNS, BAR = ((0.5, 1.1), (2.5, 3.1)), (2.5, 3.1)
"""Where starts and goals lie: x of the two columns, y of the bar that joins them; all from 0.5 to 3.1 m."""


@final
class PointMaze(PlanarSpec):
    """Settings of the maze; state = proprioception = (x, y, velocity of x, velocity of y)."""

    kind: Literal["pointmaze"] = "pointmaze"
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
        """A place in the U and a velocity, both uniform."""
        while True:
            x, y = stream.uniform(0.5, 3.1, 2)
            if any(low <= x <= high for low, high in COLUMNS) or BAR[0] <= y <= BAR[1]:
                return np.array([x, y, *stream.uniform(-VELOCITY, VELOCITY, 2)])

    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """Two starts, drawn independently as in the study: some lie within the threshold of each other."""
        return self.draw_start(stream), self.draw_start(stream)

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """Push for 0.05 s."""
        maze = _maze()
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

    def render(self, states: Floats) -> Frames:
        """The maze from above; velocities do not show. Raises ConfigError where `gl` is asked for and cannot be had."""
        if self.renderer == "raster":
            return flat(states[:, :2], self.size, self.ball)
        return draw(self.scene, states[:, :2])

    @property
    def scene(self) -> Scene:
        """What `gl` draws."""
        return Scene(model(self.ball), self.size, lookat=(MIDDLE, MIDDLE, 0.0), distance=HEIGHT)


@lru_cache
def _maze() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(model(ball=1.0))
