"""Every environment in the table keeps the contract of the front door."""

from collections.abc import Callable

import numpy as np
import pytest

from worldgrid.envs import ENVS, Env, EnvSpec, Floats, Tasks
from worldgrid.spec import ConfigError

SEEDS = [3, 1, 4, 1, 5]
SETTINGS: dict[str, dict[str, object]] = {
    "metaworld": {"shadows": False, "samples": 0},
    "pointmaze": {"renderer": "raster"},
}
MADE = {kind: ENVS.parse({"kind": kind, "size": 32} | SETTINGS.get(kind, {})) for kind in sorted(ENVS.members)}
SPECS = {kind: spec for kind, spec in MADE.items() if spec.simulated}
"""Recordings draw, collect and render nothing: their tests are their own."""


SLOW = {"robosuite"}
"""Simulated in a process of its own, in an environment of its own: run by `make test-slow` where that is there."""


def marked(kind: str) -> object:
    """A kind, with what its tests need."""
    missing = SPECS[kind].lacks()
    marks = [pytest.mark.slow] if kind in SLOW else []
    return pytest.param(kind, marks=[*marks, pytest.mark.skipif(bool(missing), reason=f"env {kind}: {missing}")])


@pytest.fixture(params=[marked(kind) for kind in SPECS])
def spec(request: pytest.FixtureRequest) -> EnvSpec:
    return SPECS[request.param]


def actions(spec: EnvSpec, steps: int, seed: int = 0) -> Floats:
    """`[steps, B, a]` for SEEDS."""
    limit = spec.action_limit
    return np.random.default_rng(seed).uniform(-limit, limit, (steps, len(SEEDS), spec.action_dim))


def play(env: Env, moves: Floats) -> Floats:
    """`[steps + 1, B, X]` states."""
    states = [env.state()]
    for move in moves:
        env.step(move)
        states.append(env.state())
    return np.stack(states)


def test_observations_have_the_declared_shapes(spec: EnvSpec) -> None:
    for env in (spec.tasks(SEEDS), spec.explore(SEEDS)):
        for seen in (env.observe(), env.goal):
            assert seen.frames.shape == (5, 32, 32, 3)
            assert seen.frames.dtype == np.uint8
            assert seen.proprio.shape == (5, spec.proprio_dim)
            assert seen.proprio.dtype == np.float32
            assert seen.state.shape == (5, spec.state_dim)
            assert seen.state.dtype == np.float64
        assert env.distance().shape == env.success().shape == (5,)


def test_an_episode_is_a_function_of_its_seed(spec: EnvSpec) -> None:
    for start in (spec.tasks, spec.explore):
        one, two = start(SEEDS), start(SEEDS)
        assert np.array_equal(one.state(), two.state())
        assert np.array_equal(one.goal.state, two.goal.state)
        assert np.array_equal(one.state()[1], one.state()[3])
        assert not np.array_equal(one.state()[0], one.state()[1])


def test_an_episode_plays_the_same_alone_and_in_a_batch(spec: EnvSpec) -> None:
    moves = actions(spec, steps=20)
    batch = spec.tasks(SEEDS)
    played = play(batch, moves)
    for place, seed in enumerate(SEEDS):
        alone = spec.tasks([seed])
        assert np.array_equal(play(alone, moves[:, [place]])[:, 0], played[:, place])
        assert np.array_equal(alone.observe().frames[0], batch.observe().frames[place])
        assert np.array_equal(alone.goal.frames[0], batch.goal.frames[place])
        assert alone.distance()[0] == batch.distance()[place]


def test_stored_actions_replay_to_the_bit_from_a_restored_start(spec: EnvSpec) -> None:
    moves = actions(spec, steps=20)
    played = play(spec.explore(SEEDS), moves)
    elsewhere = spec.explore([9, 8, 7, 6, 5])
    play(elsewhere, moves[::-1])
    elsewhere.restore(played[0])
    assert np.array_equal(play(elsewhere, moves), played)
    elsewhere.restore(played[10])
    assert np.array_equal(play(elsewhere, moves[10:]), played[10:])


def test_a_state_is_enough_to_see_what_was_seen(spec: EnvSpec) -> None:
    env = spec.explore(SEEDS)
    play(env, actions(spec, steps=7))
    seen = env.observe()
    assert np.array_equal(spec.render(seen.state), seen.frames)
    other = spec.explore([9, 8, 7, 6, 5])
    other.restore(seen.state)
    assert np.array_equal(other.observe().frames, seen.frames)
    assert np.array_equal(other.observe().proprio, seen.proprio)


def test_what_an_episode_hands_out_and_takes_is_a_copy(spec: EnvSpec) -> None:
    env = spec.tasks(SEEDS)
    before, restored = env.state(), env.state()
    env.restore(restored)
    for handed in (restored, env.state(), env.observe().state):
        handed[:] = 0
    assert np.array_equal(env.state(), before)


def test_frames_show_where_the_robot_is(spec: EnvSpec) -> None:
    seen = spec.tasks(SEEDS)
    assert not np.array_equal(seen.observe().frames[0], seen.observe().frames[1])
    assert not np.array_equal(seen.observe().frames[0], seen.goal.frames[0])


@pytest.mark.parametrize("kind", [kind for kind, spec in SPECS.items() if "threshold" in spec.recipe()])
def test_success_changes_at_the_threshold(kind: str) -> None:
    spec = SPECS[kind]
    threshold = float(spec.recipe()["threshold"])
    env = spec.tasks(SEEDS)
    for axis in (0, 1):
        for share, reached in ((0.999, True), (1.001, False)):
            state = env.goal.state.copy()
            state[:, axis] += share * threshold
            env.restore(state)
            assert np.allclose(env.distance(), share * threshold)
            assert env.success().tolist() == [reached] * len(SEEDS)


def test_goals_differ_from_starts(spec: EnvSpec) -> None:
    env = spec.tasks(range(20))
    assert (env.distance() > 0).all()
    assert env.success().mean() < 0.2


def test_where_a_recording_went_is_a_goal_its_actions_reach(spec: EnvSpec) -> None:
    moves = actions(spec, steps=20)
    played = play(spec.explore(SEEDS), moves)
    again = spec.begin(Tasks(SEEDS, played[0], played[-1]))
    assert np.array_equal(again.state(), played[0])
    assert np.array_equal(again.goal.state, played[-1])
    play(again, moves)
    if "threshold" in spec.recipe():
        assert again.success().all()
    assert np.array_equal(again.observe().frames, again.goal.frames)


def test_recorded_states_that_hold_too_little_are_refused(spec: EnvSpec) -> None:
    assert np.array_equal(spec.complete(np.ones((2, spec.state_dim))), np.ones((2, spec.state_dim)))
    with pytest.raises(ConfigError, match="recorded states have 1 numbers"):
        spec.complete(np.ones((2, 1)))


Route = Callable[[Floats, Floats], list[Floats]]


def through_the_door(start: Floats, goal: Floats) -> list[Floats]:
    door = [np.array([26.0, 30.0]), np.array([38.0, 30.0])]
    return [*(door if start[0] < goal[0] else door[::-1]), goal]


def around_the_bend(start: Floats, goal: Floats) -> list[Floats]:
    return [np.array([start[0], 2.8]), np.array([goal[0], 2.8]), goal[:2]]


ROUTES: dict[str, tuple[Route, Callable[[Floats, Floats], Floats]]] = {
    "point": (lambda start, goal: [goal], lambda state, to: to - state),
    "wall": (through_the_door, lambda state, to: np.clip((to - state) / 2, -1.8, 1.8)),
    "pointmaze": (around_the_bend, lambda state, to: 2 * (to - state[:2]) - 0.6 * state[2:]),
}
"""Of each environment: places on the way to the goal, and the action that heads for one."""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ROUTES)
def test_goals_can_be_reached(kind: str, seed: int) -> None:
    route, heading = ROUTES[kind]
    env = SPECS[kind].tasks([seed])
    for place in route(env.state()[0], env.goal.state[0]):
        for _ in range(60):
            env.step(heading(env.state()[0], place)[None])
    assert env.success().all()
