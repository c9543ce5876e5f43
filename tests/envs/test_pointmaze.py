"""The study's U-maze and d4rl's larger ones: facts of the reference, walls, and pictures that need no OpenGL."""

import numpy as np
import pytest

from worldgrid.envs import Floats
from worldgrid.envs.maze import CELLS
from worldgrid.envs.pointmaze import PointMaze

MAZE = PointMaze(renderer="raster")


def in_the_u(places: Floats, slack: float) -> np.ndarray:
    x, y = places[:, 0], places[:, 1]
    low, high = 0.5 - slack, 3.1 + slack
    inside = (x >= low) & (x <= high) & (y >= low) & (y <= high)
    return inside & ((x <= 1.1 + slack) | (x >= 2.5 - slack) | (y >= 2.5 - slack))


def test_one_step_from_rest_is_the_references() -> None:
    after = MAZE.advance(np.array([[0.8, 0.8, 0.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    assert abs(after[0] - 0.8 - 0.036) < 5e-4
    assert abs(after[2] - 1.185) < 5e-4
    assert after[[1, 3]].tolist() == [0.8, 0.0]


def test_velocity_is_clipped_before_a_step_and_decays_with_the_damping() -> None:
    fast, faster = MAZE.advance(np.array([[1.0, 0.8, 0.0, 5.0], [1.0, 0.8, 0.0, 50.0]]), np.zeros((2, 2)))
    assert np.array_equal(fast, faster)
    mass = 1000 * 4 / 3 * np.pi * 0.1**3
    assert np.isclose(fast[3], 5.0 / (1 + 0.01 / mass) ** 5)


def test_the_motors_take_no_more_than_one() -> None:
    rest = np.array([[0.8, 0.8, 0.0, 0.0]])
    assert np.array_equal(MAZE.advance(rest, np.array([[9.0, -9.0]])), MAZE.advance(rest, np.array([[1.0, -1.0]])))


def test_walls_hold_against_random_and_steady_pushes() -> None:
    random = np.random.default_rng(0)
    states = np.stack([MAZE.draw_start(random) for _ in range(64)])
    steady = random.uniform(-1, 1, (64, 2))
    for step in range(60):
        states = MAZE.advance(states, np.sign(steady) if step % 2 else random.uniform(-1, 1, (64, 2)))
        assert in_the_u(states, slack=0.15).all()


def test_the_inner_wall_separates_the_columns() -> None:
    state = np.array([[0.8, 0.8, 0.0, 0.0]])
    for _ in range(40):
        state = MAZE.advance(state, np.array([[1.0, 0.0]]))
    assert 1.1 < state[0, 0] < 1.25


def test_starts_and_goals_lie_in_the_u_with_the_studys_velocities() -> None:
    env = MAZE.tasks(range(300))
    for states in (env.state(), env.goal.state, MAZE.explore(range(300)).state()):
        assert in_the_u(states, slack=0.0).all()
        assert np.abs(states[:, 2:]).max() <= 5.2262554
        assert np.abs(states[:, 2:]).max() > 4.5
        assert (states[:, 0] < 1.1).any()
        assert (states[:, 0] > 2.5).any()
        assert ((states[:, 0] > 1.1) & (states[:, 0] < 2.5)).any()


@pytest.mark.parametrize(("maze", "cells"), [("medium", (8, 8)), ("large", (9, 12))])
def test_larger_mazes_are_joined_up_and_drawn_whole(maze: str, cells: tuple[int, int]) -> None:
    rows = CELLS[maze]
    assert (len(rows), len(rows[0])) == cells
    free = {(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == "."}
    reached, edge = set(), {min(free)}
    while edge:
        reached |= edge
        edge = {(i + x, j + y) for i, j in edge for x, y in ((0, 1), (1, 0), (0, -1), (-1, 0))} & free - reached
    assert reached == free
    env = PointMaze(renderer="raster", maze=maze)
    starts = env.explore(range(200)).state()
    assert {(round(x + 0.2), round(y + 0.2)) for x, y in starts[:, :2]} <= free
    frame = env.render(starts[:1])[0].astype(int)
    corners = np.array([frame[0, 0], frame[0, -1], frame[-1, 0], frame[-1, -1]])
    assert np.abs(corners - [38, 64, 89]).max() <= 1


def test_balls_do_not_pass_the_walls_of_larger_mazes() -> None:
    env = PointMaze(renderer="raster", maze="medium")
    states = env.explore(range(16)).state()
    random = np.random.default_rng(0)
    for _ in range(60):
        states = env.advance(states, random.uniform(-1, 1, (16, 2)))
        assert all(CELLS["medium"][round(x + 0.2)][round(y + 0.2)] == "." for x, y in states[:, :2])


def test_velocity_does_not_show_and_does_not_count() -> None:
    env = MAZE.tasks([0])
    moved = env.goal.state.copy()
    moved[:, 2:] += 3.0
    env.restore(moved)
    assert env.success().all()
    assert np.array_equal(env.observe().frames, env.goal.frames)


def test_the_flat_ball_is_green_where_the_ball_is() -> None:
    frame = PointMaze(renderer="raster", size=128).render(np.array([[0.8, 2.8, 0.0, 0.0]]))[0].astype(int)
    rows, columns = np.nonzero((frame[..., 1] > frame[..., 0] + 50) & (frame[..., 1] > frame[..., 2] + 50))
    per_metre = 128 / (2 * 9.73 * np.tan(np.pi / 8))
    assert abs(columns.mean() + 0.5 - (64 + (0.8 + 1.2 - 3) * per_metre)) < 0.5
    assert abs(rows.mean() + 0.5 - (64 - (2.8 + 1.2 - 3) * per_metre)) < 0.5
    assert abs(np.sqrt(len(rows) / np.pi) - 0.36 * per_metre) < 1
