"""Metaworld's experts, through our adapter."""

import numpy as np
import pytest

from worldgrid.envs import Floats
from worldgrid.envs.metaworld import Metaworld
from worldgrid.policies import POLICIES
from worldgrid.policies.expert import Expert
from worldgrid.spec import ConfigError

REACH = Metaworld()


def acted(noise: float, states: Floats) -> Floats:
    return Expert(noise=noise).start(REACH, range(len(states))).act(states, 0)


def test_without_noise_it_is_the_scripted_policy() -> None:
    states = REACH.explore([0, 1]).state()
    assert np.array_equal(acted(0.0, states), REACH.expert(states))


def test_noise_is_added_and_clipped() -> None:
    states = REACH.explore([0]).state().repeat(300, axis=0)
    states[:, 36:39] = states[:, :3]  # at the target it stands still
    drawn = acted(0.1, states)
    assert drawn.std() == pytest.approx(0.1, abs=0.01)
    assert np.abs(acted(5.0, states)).max() == 1.0


def test_less_than_no_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise"):
        POLICIES.parse({"kind": "expert", "noise": -1.0})


@pytest.mark.slow
@pytest.mark.parametrize("task", ["reach", "reach-wall"])
def test_experts_reach_the_target_in_95_of_100_episodes(task: str) -> None:
    env = Metaworld(task=task)
    reached = 0
    for first in range(0, 100, 20):
        seeds = range(first, first + 20)
        batch, expert = env.tasks(seeds), Expert().start(env, seeds)
        for time in range(99):
            batch.step(expert.act(batch.state(), time))
        reached += int(batch.success().sum())
        batch.close()
    assert reached >= 95
