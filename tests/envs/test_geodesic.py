"""How far apart states truly are, where an environment can tell."""

import numpy as np
import pytest

from worldgrid.envs import ENVS, EnvSpec, Floats

TELLING = {"point", "pointmaze", "wall"}
WALL = ENVS.parse({"kind": "wall"})


def ways(spec: EnvSpec, first: object, second: object) -> Floats:
    found = spec.geodesic(np.atleast_2d(first).astype(float), np.atleast_2d(second).astype(float))
    assert found is not None
    return found


@pytest.fixture(params=sorted(TELLING))
def spec(request: pytest.FixtureRequest) -> EnvSpec:
    return ENVS.parse({"kind": request.param})


@pytest.mark.parametrize("kind", sorted(ENVS.members))
def test_whether_an_env_can_tell_is_known_without_a_state(kind: str) -> None:
    spec = ENVS.parse({"kind": kind})
    none = np.empty((0, spec.state_dim))
    told = spec.geodesic(none, none)
    assert told is None if kind not in TELLING else told is not None and told.shape == (0, 0)


def test_shortest_ways_are_a_metric_that_no_straight_line_beats(spec: EnvSpec) -> None:
    states = spec.explore(range(40)).state()
    apart = ways(spec, states, states)
    assert np.isfinite(apart).all()
    assert np.allclose(apart, apart.T)
    assert np.allclose(apart.diagonal(), 0)
    assert (apart[:, :, None] + apart[None] >= apart[:, None, :] - 1e-9).all()
    straight = np.linalg.norm(states[:, None, :2] - states[None, :, :2], axis=-1)
    assert (apart >= straight - 1e-9).all()
    assert ways(spec, states[:3], states).shape == (3, 40)


def test_nothing_is_in_the_way_of_the_point() -> None:
    assert ways(ENVS.parse({"kind": "point"}), [0, 0], [0.3, 0.4])[0, 0] == pytest.approx(0.5)


# The wall: x from 29 to 35, its door y from 26 to 34


def test_within_a_room_and_straight_through_the_door_the_way_is_straight() -> None:
    assert ways(WALL, [10, 10], [25, 50])[0, 0] == pytest.approx(np.hypot(15, 40))
    assert ways(WALL, [10, 31], [50, 28])[0, 0] == pytest.approx(np.hypot(40, 3))


def test_around_the_wall_the_way_bends_at_two_corners_of_the_door() -> None:
    assert ways(WALL, [20, 10], [44, 10])[0, 0] == pytest.approx(2 * np.hypot(9, 16) + 6)


def test_from_inside_the_door_it_bends_at_one() -> None:
    assert ways(WALL, [32, 30], [40, 10])[0, 0] == pytest.approx(np.hypot(3, 4) + np.hypot(5, 16))


def test_ways_between_rooms_are_the_shortest_over_all_places_in_both_faces_of_the_door() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.uniform((5, 5), (28, 59), (30, 2)), rng.uniform((36, 5), (59, 59), (30, 2))
    enter, leave = (np.stack(np.broadcast_arrays(x, np.linspace(26, 34, 801)), axis=1) for x in (29.0, 35.0))

    def apart(one: Floats, two: Floats) -> Floats:
        return np.linalg.norm(one[:, None] - two[None], axis=-1)

    inside = apart(enter, leave)
    for start, goal, found in zip(left, right, ways(WALL, left, right).diagonal(), strict=True):
        through = apart(start[None], enter).T + inside + apart(leave, goal[None]).T
        assert found == pytest.approx(through.min(), abs=0.01)


def test_in_the_u_maze_the_way_goes_around_the_bend_whatever_the_velocity() -> None:
    maze = ENVS.parse({"kind": "pointmaze"})
    around = ways(maze, [0.8, 0.8, 5.0, 0.0], [2.8, 0.8, 0.0, -5.0])[0, 0]
    assert around == pytest.approx(2 * np.hypot(0.5, 1.5) + 1.0)
