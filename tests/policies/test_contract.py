"""Every policy in the table keeps the contract of the front door, in every environment of theirs."""

import numpy as np
import pytest

from worldgrid.envs import ENVS, EnvSpec, Floats
from worldgrid.policies import POLICIES, PolicySpec
from worldgrid.spec import ConfigError

SEEDS = [3, 1, 4]


MEMBERS = [{"policy": {"kind": "uniform", "hold": hold}, "fraction": hold} for hold in (1, 2)]
SETTINGS: dict[str, dict[str, object]] = {"expert": {"noise": 0.1}, "mixture": {"members": MEMBERS}}


def fitting(policy: PolicySpec, env: EnvSpec) -> bool:
    try:
        policy.check(env)
    except ConfigError:
        return False
    return True


POLICY = {kind: POLICIES.parse({"kind": kind} | SETTINGS.get(kind, {})) for kind in POLICIES.members}
MADE = {kind: ENVS.parse({"kind": kind}) for kind in ENVS.members}
ENV = {kind: env for kind, env in MADE.items() if env.simulated}
PAIRS = sorted((policy, env) for policy in POLICY for env in ENV if fitting(POLICY[policy], ENV[env]))


def marked(policy: str, env: str) -> object:
    """A pair, with what its tests need: robosuite runs in an environment of its own."""
    missing = ENV[env].lacks()
    marks = [pytest.mark.slow] if env == "robosuite" else []
    absent = pytest.mark.skipif(bool(missing), reason=f"env {env}: {missing}")
    return pytest.param((policy, env), marks=[*marks, absent], id=f"{policy}-{env}")


@pytest.fixture(params=[marked(*pair) for pair in PAIRS])
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def spec(pair: tuple[str, str]) -> PolicySpec:
    return POLICY[pair[0]]


@pytest.fixture
def env(pair: tuple[str, str]) -> EnvSpec:
    return ENV[pair[1]]


def actions(spec: PolicySpec, env: EnvSpec, seeds: list[int], steps: int = 20) -> Floats:
    """`[steps, B, a]` at the states of a batch that does not move."""
    policy = spec.start(env, seeds)
    states = env.explore(seeds).state()
    return np.stack([policy.act(states, time) for time in range(steps)])


def test_actions_have_the_environments_shape(spec: PolicySpec, env: EnvSpec) -> None:
    drawn = actions(spec, env, SEEDS)
    assert drawn.shape == (20, 3, env.action_dim)
    assert drawn.dtype == np.float64
    assert np.isfinite(drawn).all()


def test_an_episodes_actions_belong_to_its_seed_alone_and_in_a_batch(spec: PolicySpec, env: EnvSpec) -> None:
    batch = actions(spec, env, SEEDS)
    for place, seed in enumerate(SEEDS):
        assert np.array_equal(actions(spec, env, [seed])[:, 0], batch[:, place])
    assert not np.array_equal(batch[:, 0], batch[:, 1])


def test_actions_differ_from_step_to_step(spec: PolicySpec, env: EnvSpec) -> None:
    drawn = actions(spec, env, SEEDS)
    assert (np.abs(np.diff(drawn, axis=0)).sum(axis=2) > 0).any(axis=0).all()
