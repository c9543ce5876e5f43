"""The study's Push-T: contacts, the controller, the two halves of its success test, and its picture."""

import numpy as np
import pymunk
import pytest

from worldgrid.envs import Floats
from worldgrid.envs.pusht import PHYSICS_STEPS, TIME, PushT, _table
from worldgrid.spec import ConfigError

TABLE = PushT()
REST = np.array([100.0, 256.0, 300.0, 200.0, 0.3, *np.zeros(5)])


def pushed(state: Floats, *actions: tuple[float, float]) -> Floats:
    for action in actions:
        state = TABLE.advance(state[None], np.array([action]))[0]
    return state


def uncut(state: Floats, actions: Floats) -> Floats:
    """The original's loop: contacts are carried over from step to step, and a motion comes before its contacts."""
    space, agent, block = _table(state)
    for action in actions:
        target = agent.position + 100 * pymunk.Vec2d(*action)
        for _ in range(PHYSICS_STEPS):
            agent.velocity += TIME * (100 * (target - agent.position) - 20 * agent.velocity)
            space.step(TIME)
    return np.array([*agent.position, *block.position, block.angle])


def test_the_disc_follows_its_target_as_the_controller_says() -> None:
    place, speed = 100.0, 0.0
    for _ in range(10):
        speed += 0.01 * (100 * (150 - place) - 20 * speed)
        place += 0.01 * speed
    after = pushed(REST, (0.5, 0.0))
    assert after[:2] == pytest.approx([place, 256.0])
    assert after[5:7] == pytest.approx([speed, 0.0])


def test_pushing_moves_and_turns_the_t_as_in_the_original() -> None:
    state = np.array([350.0, 270.0, 300.0, 200.0, 0.0, *np.zeros(5)])  # below the right end of the bar
    actions = np.array([(0.0, -0.3)] * 6 + [(0.0, 0.0)] * 3)
    ours = pushed(state, *map(tuple, actions))
    assert np.linalg.norm(ours[2:4] - state[2:4]) > 15
    assert abs(ours[4] - state[4]) > 0.1
    assert np.abs(ours[2:5] - uncut(state, actions)[2:5]).max() < 1e-6


def test_nothing_slides_on() -> None:
    state = np.array([200.0, 330.0, 300.0, 200.0, 0.3, *np.zeros(5)])
    moving = pushed(state, *[(0.3, 0.0)] * 5)
    at_rest = pushed(moving, *[(-0.2, 0.0)] * 3)
    assert np.array_equal(pushed(at_rest, (-0.2, 0.0))[2:5], at_rest[2:5])


def test_targets_stay_in_the_world() -> None:
    state = pushed(REST, *[(-3.0, 3.0)] * 20)
    assert state[0] == pytest.approx(0.0, abs=1.0)
    assert state[1] == pytest.approx(512.0, abs=1.0)


def test_success_needs_agent_and_t_within_20_px_and_the_angle_within_a_ninth_of_pi() -> None:
    goal = REST[None]
    for change, reached in (
        ({0: 12.0, 2: 15.9}, True),
        ({0: 12.0, 2: 16.1}, False),
        ({4: 0.99 * np.pi / 9}, True),
        ({4: -1.01 * np.pi / 9}, False),
        ({4: 2 * np.pi}, True),
        ({5: 300.0}, True),
    ):
        state = goal.copy()
        for place, amount in change.items():
            state[0, place] += amount
        assert TABLE.reached(state, goal).tolist() == [reached], change


def test_starts_lie_where_the_sampler_draws_them_and_apart() -> None:
    starts = TABLE.explore(range(100)).state()
    assert starts[:, :2].min() >= 50
    assert starts[:, :2].max() <= 450
    assert starts[:, 2:4].min() >= 100
    assert starts[:, 2:4].max() <= 400
    still = TABLE.advance(starts, np.zeros((100, 2)))
    assert np.abs(still - starts).max() < 1e-9


def test_released_states_are_completed_as_the_study_sets_them() -> None:
    released = np.array([[100.0, 256.0, 300.0, 200.0, 0.3, 50.0, -20.0]])
    assert TABLE.complete(released).tolist() == [[100.5, 255.8, 300.0, 200.0, 0.3, 50.0, -20.0, 0.0, 0.0, 0.0]]
    with pytest.raises(ConfigError, match="have 5 numbers"):
        TABLE.complete(released[:, :5])


@pytest.mark.parametrize("size", [64, 224])
def test_the_picture_shows_disc_and_t_where_they_are(size: int) -> None:
    state = np.array([[400.0, 100.0, 120.0, 300.0, 0.0, *np.zeros(5)]])
    frame = PushT(size=size).render(state)[0].astype(int)

    def at(x: float, y: float) -> list[int]:
        return frame[int(y * size / 512), int(x * size / 512)].tolist()

    assert at(400, 100) == [78, 126, 255]
    assert at(120, 315) == at(120, 400) == [142, 163, 183]
    assert at(80, 400) == at(256, 60) == [255, 255, 255]
    assert at(256, 270) == [144, 238, 144]
