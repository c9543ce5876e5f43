"""Episodes are dealt out to the members by their shares."""

import numpy as np
import pytest

from worldgrid.envs.point import Point
from worldgrid.policies import POLICIES
from worldgrid.spec import ConfigError

SHARES = {"uniform": 1.0, "drift": 0.5}
MIXED = POLICIES.parse(
    {
        "kind": "mixture",
        "members": [{"policy": {"kind": kind}, "fraction": share} for kind, share in SHARES.items()],
    }
)
SEEDS = range(300)


def test_every_episode_is_one_members_and_the_shares_are_kept() -> None:
    states = np.zeros((len(SEEDS), 2))
    mixed, *members = (
        policy.start(Point(), SEEDS) for policy in (MIXED, *(POLICIES.parse({"kind": kind}) for kind in SHARES))
    )
    own = np.zeros((2, len(SEEDS)), bool)
    for time in range(5):
        acted = mixed.act(states, time)
        equal = np.array([(member.act(states, time) == acted).all(axis=1) for member in members])
        own = equal if time == 0 else own & equal
    assert (own.sum(axis=0) == 1).all()
    assert own[0].mean() == pytest.approx(2 / 3, abs=0.08)


def test_a_members_defaults_are_part_of_the_recipe() -> None:
    (first, _) = MIXED.recipe()["members"]
    assert first == {"policy": {"kind": "uniform", "hold": 1}, "fraction": 1.0}


def test_a_member_that_does_not_fit_is_refused() -> None:
    walkers = {"kind": "mixture", "members": [{"policy": {"kind": "expert"}, "fraction": 1}]}
    with pytest.raises(ConfigError, match="env 'point' has no scripted expert"):
        POLICIES.parse(walkers).check(Point())
    with pytest.raises(ConfigError, match="unknown policy 'expret'; did you mean 'expert'"):
        POLICIES.parse({"kind": "mixture", "members": [{"policy": {"kind": "expret"}, "fraction": 1}]})
