"""The walk of the study's Wall data has its statistics."""

import numpy as np
import pytest

from worldgrid.envs.wall import Wall
from worldgrid.policies import POLICIES
from worldgrid.policies.drift import Drift
from worldgrid.spec import ConfigError


def walks() -> np.ndarray:
    policy = Drift().start(Wall(), range(200))
    return np.stack([policy.act(np.zeros((200, 2)), time) for time in range(50)])


def test_lengths_are_normal_around_one_and_clipped() -> None:
    lengths = np.linalg.norm(walks(), axis=2)
    assert lengths.min() == pytest.approx(0.2)
    assert lengths.max() == pytest.approx(1.8)
    assert lengths.mean() == pytest.approx(1.0, abs=0.02)
    assert lengths.std() == pytest.approx(0.385, abs=0.02)


def test_headings_drift_by_a_fifth_of_a_radian() -> None:
    drawn = walks()
    headings = np.unwrap(np.arctan2(drawn[..., 1], drawn[..., 0]), axis=0)
    assert np.diff(headings, axis=0).std() == pytest.approx(0.2, abs=0.01)


def test_first_headings_point_everywhere() -> None:
    first = walks()[0]
    assert np.abs(first.mean(axis=0)).max() < 0.2


def test_shortest_above_longest_is_refused() -> None:
    with pytest.raises(ConfigError, match="shortest <= longest fits"):
        POLICIES.parse({"kind": "drift", "shortest": 2.0})


def test_actions_of_four_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wall, "action_dim", 4)
    with pytest.raises(ConfigError, match="actions of two numbers fit"):
        Drift().check(Wall())
