"""The environment that is solvable on paper."""

import numpy as np

from worldgrid.envs.point import Point

POINT = Point()


def test_unclipped_actions_add_up() -> None:
    env = POINT.tasks(range(20))
    start = env.state()
    actions = np.random.default_rng(0).uniform(-POINT.action_limit, POINT.action_limit, (5, 20, 2))
    for action in actions:
        env.step(action)
    assert np.allclose(env.state(), start + actions.sum(axis=0), atol=1e-12)


def test_a_step_goes_a_fifth_at_most_and_never_leaves_the_square() -> None:
    assert POINT.advance(np.array([[0.5, 0.95]]), np.array([[-7.0, 7.0]])).tolist() == [[0.3, 1.0]]


def test_tasks_stay_in_the_middle_and_need_a_move() -> None:
    env = POINT.tasks(range(200))
    for places in (env.state(), env.goal.state):
        assert places.min() >= 0.35
        assert places.max() <= 0.65
    assert (env.distance() >= 2 * POINT.threshold).all()


def test_the_dot_is_drawn_at_the_position() -> None:
    frame = POINT.render(np.array([[0.25, 0.75]]))[0]
    row, column = np.unravel_index(frame[..., 1].argmin(), (64, 64))
    assert (column, row) == (16, 47)
    assert frame[row, column].tolist() == [255, 0, 0]
