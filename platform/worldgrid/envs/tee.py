"""Push-T's picture, drawn without a window. n frames, S side in pixels of the frame; lengths in the world's 512 px.

Facts (colours, sizes, order) from the public Push-T environment of Diffusion Policy, which the study's is: a green T
where the demonstrations end, grey walls, a blue disc, a grey T with darker edges; x to the right, y downwards.
Edges are antialiased at the frame's own resolution; the original draws 512 px without and shrinks the picture.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worldgrid.envs import Floats, Frames

WORLD = 512.0
"""Side of the world."""
BARS = ((-60.0, 0.0, 60.0, 30.0), (-15.0, 30.0, 15.0, 120.0))
"""The two bars of the T around its origin, the middle of its top edge: x and y from, x and y to."""
DISC = 15.0
"""Radius of the agent."""
TARGET = (256.0, 256.0, np.pi / 4)
"""Where the drawn T lies: x, y, angle. Planning goals lie elsewhere and do not move it (paper: `with_target`)."""
WALLS = (5.0, 506.0, 2.0)
"""The walls' middles from and to, and half of their width."""
_WHITE, _GREY, _GREEN = (255, 255, 255), (211, 211, 211), (144, 238, 144)
_BLUE, _LIGHT_BLUE = (65, 105, 225), (78, 126, 255)
_SLATE, _LIGHT_SLATE = (119, 136, 153), (142, 163, 183)
_Layer = NDArray[np.float32]


def flat(agents: Floats, blocks: Floats, size: int) -> Frames:
    """`[n, 2]` agents and `[n, 3]` blocks (x, y, angle) -> `[n, S, S, 3]`."""
    ground, (x, y) = _ground(size), _places(size)
    pixel = WORLD / size
    frames = np.empty((len(agents), size, size, 3), np.uint8)
    for frame, agent, block in zip(frames, agents, blocks, strict=True):
        picture = ground.copy()
        away = np.hypot(x - np.float32(agent[0]), y - np.float32(agent[1]))
        _paint(picture, away - DISC, _BLUE, pixel)
        _paint(picture, away - (DISC - 4), _LIGHT_BLUE, pixel)
        for outside in _bars(x, y, block):
            _paint(picture, outside - 2, _SLATE, pixel)
            _paint(picture, outside + 2, _LIGHT_SLATE, pixel)
        frame[:] = np.rint(picture)
    return frames


@lru_cache
def _places(size: int) -> tuple[_Layer, _Layer]:
    """`[1, S]` x and `[S, 1]` y of the pixels' middles."""
    middles = ((np.arange(size) + 0.5) * (WORLD / size)).astype(np.float32)
    return middles[None, :], middles[:, None]


@lru_cache
def _ground(size: int) -> _Layer:
    """`[S, S, 3]` what never moves."""
    (x, y), pixel = _places(size), WORLD / size
    picture = np.full((size, size, 3), _WHITE, np.float32)
    for outside in _bars(x, y, np.array(TARGET)):
        _paint(picture, outside, _GREEN, pixel)
    first, last, half = WALLS
    inward = np.minimum(np.minimum(x - first, last - x), np.minimum(y - first, last - y))
    _paint(picture, np.abs(inward) - half, _GREY, pixel)
    return picture


def _bars(x: _Layer, y: _Layer, place: Floats) -> list[_Layer]:
    """How far every pixel lies outside each bar of a T, negative inside."""
    cosine, sine = np.float32(np.cos(place[2])), np.float32(np.sin(place[2]))
    right, down = x - np.float32(place[0]), y - np.float32(place[1])
    across, along = cosine * right + sine * down, cosine * down - sine * right
    return [
        np.maximum(
            np.abs(across - (left + right_end) / 2) - (right_end - left) / 2,
            np.abs(along - (top + bottom) / 2) - (bottom - top) / 2,
        )
        for left, top, right_end, bottom in BARS
    ]


def _paint(picture: _Layer, outside: _Layer, colour: tuple[int, int, int], pixel: float) -> None:
    """Cover what lies inside, in part where an edge passes through a pixel of this side."""
    covered = np.clip(np.float32(0.5) - outside / np.float32(pixel), 0, 1)[..., None]
    picture += covered * (np.array(colour, np.float32) - picture)
