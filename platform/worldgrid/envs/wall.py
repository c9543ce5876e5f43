"""The study's Wall: two rooms, a wall between them, a door in it. B episodes, n states; unit: pixel of a 65 px image.

Facts: the two-room environment of DINO-WM that the study uses (paper, simulated environments; its `wall` environment),
pinned to 2,400 transitions and 16 frames of the official code. Position (x, y), x to the right, y downwards:

    next position = position + 2 action, unless the way there meets a wall; then the dot stops half a pixel before it
    and slides half a pixel towards growing x or y (the official code's fixed "noise"), kept 0.3 px inside its room.

On purpose different: a step along an axis that meets a wall is NaN in the official code (a slope of infinity); here it
stops like any other. Tasks come from our own streams, not from the official `RandomState`.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worldgrid.envs import Floats, Frames
from worldgrid.envs.draw import bilinear, chunks, dots
from worldgrid.envs.planar import PlanarSpec, through_door

SIDE = 65
"""Pixels of the image the rooms are drawn on."""
SPEED = 2.0
"""Pixels one unit of action moves the dot."""
DOT = 1.7
"""Standard deviation of the drawn dot, pixels."""
MARGIN = 2 * DOT
"""Starts and goals of tasks keep this far from every wall: 7.4 px from the image's edge with a border of 5."""
STOP, SLIDE, KEEP = 0.5, 0.5, 0.3
"""Pixels before the wall, along the wall, and inside the room at which a stopped dot ends."""


@final
class Wall(PlanarSpec):
    """Settings of the two rooms; state = proprioception = position (x, y) in pixels of the 65 px image."""

    kind: Literal["wall"] = "wall"
    size: int = Field(default=64, ge=8, le=1024)
    """Side of the frames: 65 is the study's image, 64 the same without its last row and column, others are resized."""
    wall: int = 32
    """x of the wall's middle, pixels."""
    width: int = Field(default=6, ge=2)
    """Width of the wall, pixels; counts in whole halves."""
    door: int = 30
    """y of the door's middle, pixels."""
    half_door: int = Field(default=4, ge=1)
    """Half of the door's height, pixels."""
    border: int = Field(default=5, ge=1)
    """The outer walls are the image's rows and columns number `border` from each edge."""
    threshold: float = Field(default=4.5, gt=0)
    """A final distance below this is a success, pixels."""

    action_dim: ClassVar[int] = 2
    action_limit: ClassVar[float] = 1.8
    """The longest step of the study's data; the simulator takes any."""
    proprio_dim: ClassVar[int] = 2
    state_dim: ClassVar[int] = 2

    @model_validator(mode="after")
    def _rooms(self) -> Self:
        if min(self.left - self.low, self.high - self.right) <= 2 * MARGIN:
            raise ValueError(f"a wall that leaves rooms wider than {2 * MARGIN:g} px on both sides fits")
        if not self.low < self.top < self.bottom < self.high:
            raise ValueError(f"a door between the outer walls ({self.low} to {self.high} px) fits")
        return self

    @property
    def low(self) -> int:
        """The upper and the left outer wall, pixels."""
        return self.border - 1

    @property
    def high(self) -> int:
        """The lower and the right outer wall, pixels."""
        return SIDE - self.border

    @property
    def left(self) -> int:
        """x of the wall's left face."""
        return self.wall - self.width // 2

    @property
    def right(self) -> int:
        """x of the wall's right face."""
        return self.wall + self.width // 2

    @property
    def top(self) -> int:
        """y of the door's upper edge."""
        return self.door - self.half_door

    @property
    def bottom(self) -> int:
        """y of the door's lower edge."""
        return self.door + self.half_door

    def draw_start(self, stream: np.random.Generator) -> Floats:
        """Uniform over both rooms and the door, one pixel or more from every wall."""
        while True:
            x, y = stream.uniform(self.low + 1, self.high - 1, 2)
            if not self.left - 1 < x < self.right + 1 or self.top + 1 <= y <= self.bottom - 1:
                return np.array([x, y])

    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """Start in one room, goal in the other, uniform inside the margins; either direction with equal chance."""
        rows = stream.uniform(self.low + MARGIN, self.high - MARGIN, 2)
        one = np.array([stream.uniform(self.low + MARGIN, self.left - MARGIN), rows[0]])
        other = np.array([stream.uniform(self.right + MARGIN, self.high - MARGIN), rows[1]])
        return (one, other) if stream.random() < 0.5 else (other, one)

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """Move by twice the action, or stop at the first wall on the way."""
        moves = SPEED * actions
        ends = states + moves
        axis, at, start, end, limit = self._faces
        along, across = states[:, axis], states[:, 1 - axis]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (at - along) / moves[:, axis]
            crossed = across + part * moves[:, 1 - axis]
        beyond = (ends[:, axis] - at) * moves[:, axis] >= 0
        meets = (part > 0) & np.isfinite(part) & beyond & (crossed >= start) & (crossed <= end)
        first = np.where(meets, part, np.inf).argmin(axis=1)

        rows = np.arange(len(states))
        slid = crossed[rows, first] + SLIDE
        slid = np.where(slid >= limit[first], limit[first] - KEEP, slid)
        stopped = np.empty_like(states)
        stopped[rows, axis[first]] = at[first] - STOP * np.sign(moves[rows, axis[first]])
        stopped[rows, 1 - axis[first]] = slid
        return np.where(meets.any(axis=1, keepdims=True), stopped, ends)

    def geodesic(self, first: Floats, second: Floats) -> Floats:
        """Through the door, pixels."""
        return through_door(first, second, (self.left, self.right), (self.top, self.bottom))

    @cached_property
    def _faces(self) -> tuple[NDArray[np.intp], Floats, Floats, Floats, Floats]:
        """The walls' faces, `[12]` each: axis they block (0: x), where, from, to, and how far a dot may slide along."""
        ever, low, high = np.inf, self.low, self.high
        faces = [
            *((0, at, -ever, ever, high) for at in (low, high)),
            *((0, at, -ever, self.top, high) for at in (self.left, self.right)),
            *((0, at, self.bottom, ever, high) for at in (self.left, self.right)),
            *((1, at, -ever, self.left, self.left) for at in (low, high)),
            *((1, at, self.right, ever, high) for at in (low, high)),
            *((1, at, self.left, self.right, ever) for at in (self.top, self.bottom)),
        ]
        axis, *numbers = (np.array(column) for column in zip(*faces, strict=True))
        at, start, end, limit = (column.astype(np.float64) for column in numbers)
        return axis.astype(np.intp), at, start, end, limit

    @cached_property
    def _open(self) -> NDArray[np.uint8]:
        """`[65, 65]` (row y, column x): 0 on walls, 1 elsewhere."""
        free = np.ones((SIDE, SIDE), np.uint8)
        free[:, self.left : self.right + 1] = 0
        free[self.top : self.bottom + 1, self.left : self.right + 1] = 1
        free[[self.low, self.high], :] = 0
        free[:, [self.low, self.high]] = 0
        return free

    def render(self, states: Floats) -> Frames:
        """A red dot on white, black walls over both."""
        frames = np.empty((len(states), self.size, self.size, 3), np.uint8)
        frames[..., 0] = self._fit(255 * self._open[None])
        for part in chunks(len(states)):
            frames[part, ..., 1] = frames[part, ..., 2] = self._fit(dots(states[part], SIDE, DOT) * self._open)
        return frames

    def _fit(self, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.size in (SIDE - 1, SIDE):
            return drawn[:, : self.size, : self.size]
        weights = bilinear(SIDE, self.size)
        resized: NDArray[np.uint8] = np.rint(weights @ drawn.astype(np.float32) @ weights.T).astype(np.uint8)
        return resized
