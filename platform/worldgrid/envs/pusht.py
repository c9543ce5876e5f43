"""The study's Push-T: a disc pushes a T over a table, rigid bodies in the plane by pymunk. B episodes, n states.

Facts: the public Push-T environment (Diffusion Policy, DINO-WM) that the study uses: 512 px world, 100 Hz physics under
10 Hz control, a kinematic disc pulled to its target by a PD controller (100, 20), velocities of the T damped to nothing
every physics step (paper, simulated environments). Lengths in px, angles in radians.

On purpose different: steps are cut between a motion and the contacts it makes, 0.01 s later than the original's, where
nothing but positions and velocities goes on; so restored episodes replay to the bit. What happens is what happens in
the original to 1e-12 px, unless the T is jammed against a wall: there the original carries contact impulses over (of
30-step episodes that end there, a third differ by more than 1 px). And targets stay in the world, which the original's
walls do not see to.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
import pymunk
from pydantic import Field

from worldgrid.envs import Flags, Floats, Frames
from worldgrid.envs.planar import PlanarSpec
from worldgrid.envs.tee import BARS, DISC, WALLS, WORLD, flat

REACH = 100.0
"""Pixels that one unit of action moves the target from where the disc is."""
PHYSICS_STEPS, TIME = 10, 0.01
"""Physics steps of one simulator step, and seconds of each."""
STIFFNESS, DAMPING = 100.0, 20.0
"""The controller's: per second squared, per second."""
RECORDED = 7
"""Numbers of a state in the released data: without the velocities of the T."""
_INSIDE = pymunk.BB(WALLS[0] + WALLS[2], WALLS[0] + WALLS[2], WALLS[1] - WALLS[2], WALLS[1] - WALLS[2])
AGENT, BLOCK = (50.0, 450.0), (100.0, 400.0)
"""Where drawn agents and blocks lie, along each axis."""


@final
class PushT(PlanarSpec):
    """Settings of the table; proprioception = agent (x, y) and its velocity.

    State = agent (x, y), T (x, y, angle), velocity of the agent (x, y): the study's; then that of the T (x, y, angle).
    """

    kind: Literal["pusht"] = "pusht"
    threshold: float = Field(default=20.0, gt=0)
    """A final distance below this, over agent and T together, is a success, px, if the angle fits too."""
    angle: float = Field(default=np.pi / 9, gt=0, le=np.pi)
    """The T's angle must be nearer to the goal's than this, radians."""

    action_dim: ClassVar[int] = 2
    action_limit: ClassVar[float] = 0.35
    """Hundreds of px from the disc to its target; uniform draws have the standard deviation 0.2 of the study's data."""
    proprio_dim: ClassVar[int] = 4
    state_dim: ClassVar[int] = 10

    def draw_start(self, stream: np.random.Generator) -> Floats:
        """Agent and T at rest anywhere (the environment's own sampler), free of each other and of the walls."""
        while True:
            agent, block = stream.uniform(*AGENT, 2), stream.uniform(*BLOCK, 2)
            state = np.array([*agent, *block, stream.uniform(-np.pi, np.pi), *np.zeros(5)])
            table = _table(state)  # held: with its space a body loses its shapes
            bars = table[2].shapes
            inside = all(_INSIDE.contains(bar.cache_bb()) for bar in bars)
            if inside and all(bar.point_query(tuple(agent)).distance > DISC for bar in bars):
                return state

    def draw_task(self, stream: np.random.Generator) -> tuple[Floats, Floats]:
        """Two starts, drawn independently; the study takes its goals from recorded data instead (`goals: dataset`)."""
        return self.draw_start(stream), self.draw_start(stream)

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """Pull the disc towards its target for 0.1 s."""
        after = np.empty_like(states)
        for before, action, row in zip(states, actions, after, strict=True):
            space, agent, block = _table(before)
            target = pymunk.Vec2d(*(before[:2] + REACH * action).clip(0.0, WORLD).tolist())
            agent.position_func = block.position_func = _stay
            space.step(TIME)  # the contacts of the last motion
            agent.position_func = block.position_func = pymunk.Body.update_position
            for step in range(PHYSICS_STEPS):
                agent.velocity += TIME * (STIFFNESS * (target - agent.position) - DAMPING * agent.velocity)
                if step < PHYSICS_STEPS - 1:
                    space.step(TIME)
            for body in (agent, block):
                pymunk.Body.update_position(body, TIME)
            row[:] = [
                *agent.position,
                *block.position,
                block.angle,
                *agent.velocity,
                *block.velocity,
                block.angular_velocity,
            ]
        return after

    def feel(self, states: Floats) -> Floats:
        """`[B, 4]` agent (x, y) and its velocity."""
        return states[:, [0, 1, 5, 6]]

    def apart(self, states: Floats, goals: Floats) -> Floats:
        """`[B]` distance over agent and T together, px; the angle is not in it."""
        distance: Floats = np.linalg.norm(states[:, :4] - goals[:, :4], axis=1)
        return distance

    def reached(self, states: Floats, goals: Floats) -> Flags:
        """`[B]` whether agent, T and the T's angle are near enough."""
        turned = np.abs((states[:, 4] - goals[:, 4] + np.pi) % (2 * np.pi) - np.pi)
        near: Flags = (self.apart(states, goals) < self.threshold) & (turned < self.angle)
        return near

    def complete(self, states: Floats) -> Floats:
        """States of the released data get a T at rest and, as in the study, the motion that they stand before."""
        if states.shape[1] != RECORDED:
            return super().complete(states)
        full = np.concatenate([states, np.zeros((len(states), self.state_dim - RECORDED))], axis=1)
        full[:, :2] += TIME * states[:, 5:7]
        return full

    def render(self, states: Floats) -> Frames:
        """The table from above, with the T where the public task wants it; velocities do not show."""
        return flat(states[:, :2], states[:, 2:5], self.size)


def _stay(body: pymunk.Body, time: float) -> None:
    """No motion."""


def _table(state: Floats) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
    """The world in `[X]` a state: space, agent, T."""
    space = pymunk.Space()
    space.damping = 0.0
    first, last, half = WALLS
    corners = [(first, last), (first, first), (last, first), (last, last)]
    for one, other in zip(corners, corners[1:] + corners[:1], strict=True):
        space.add(pymunk.Segment(space.static_body, one, other, half))
    x, y, block_x, block_y, angle, *velocities = state.tolist()
    agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
    agent.position, agent.velocity = (x, y), (velocities[0], velocities[1])
    space.add(agent, pymunk.Circle(agent, DISC))
    outlines = [[(left, bottom), (right, bottom), (right, top), (left, top)] for left, top, right, bottom in BARS]
    block = pymunk.Body(1.0, 2 * pymunk.moment_for_poly(1.0, outlines[0]))  # the original counts the first bar twice
    shapes = [pymunk.Poly(block, outline) for outline in outlines]
    block.center_of_gravity = (shapes[0].center_of_gravity + shapes[1].center_of_gravity) / 2
    block.angle, block.position = angle, (block_x, block_y)
    block.velocity, block.angular_velocity = (velocities[2], velocities[3]), velocities[4]
    space.add(block, *shapes)
    return space, agent, block
