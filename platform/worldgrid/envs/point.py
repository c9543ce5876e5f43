"""A point in the unit square, solvable on paper: the environment that tests of planners use. B episodes, n states.

    next position = clip(position + clip(action, -0.2, 0.2), 0, 1)

Starts and goals of tasks lie in the middle of the square and exploring policies stay within a quarter of what a step
can do, so sensible plans meet neither clip: the exact prediction is the position plus the sum of the actions.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from worldgrid.envs import Floats, Frames
from worldgrid.envs.draw import chunks, dots
from worldgrid.envs.planar import PlanarSpec, straight

STEP = 0.2
"""The farthest one simulator step goes along each axis, in sides of the square."""
MIDDLE = (0.35, 0.65)
"""Where tasks start and end, along each axis."""


@final
class Point(PlanarSpec):
    """Settings of the point; state = proprioception = position (x, y) in sides of the square."""

    kind: Literal["point"] = "point"
    threshold: float = Field(default=0.05, gt=0, le=0.1)
    """A final distance below this is a success, in sides of the square; tasks start at twice this or farther."""

    action_dim: ClassVar[int] = 2
    action_limit: ClassVar[float] = STEP / 4
    proprio_dim: ClassVar[int] = 2
    state_dim: ClassVar[int] = 2

    def draw_start(self, stream: np.random.Generator) -> Floats:
        """Anywhere in the square."""
        return stream.uniform(0.0, 1.0, 2)

    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """Two places in the middle of the square, at least twice the threshold apart."""
        start, goal = stream.uniform(*MIDDLE, (2, 2))
        while np.hypot(*(goal - start)) < 2 * self.threshold:
            start, goal = stream.uniform(*MIDDLE, (2, 2))
        return start, goal

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """Add the action, as far as a step goes and the square reaches."""
        return np.clip(states + np.clip(actions, -STEP, STEP), 0.0, 1.0)

    def geodesic(self, first: Floats, second: Floats) -> Floats:
        """Nothing is in the way."""
        return straight(first, second)

    def render(self, states: Floats) -> Frames:
        """A red dot on white; its standard deviation is 1/24 of the side."""
        frames = np.full((len(states), self.size, self.size, 3), 255, np.uint8)
        for part in chunks(len(states)):
            shade = dots(states[part] * (self.size - 1), self.size, self.size / 24)
            frames[part, ..., 1] = frames[part, ..., 2] = shade
        return frames
