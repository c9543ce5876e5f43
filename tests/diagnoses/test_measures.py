"""The small sums that diagnoses stand on, on examples solvable on paper."""

import numpy as np
import pytest
import torch

from worldgrid.diagnoses.contacts import Probe, compare
from worldgrid.diagnoses.landscape import valleys
from worldgrid.diagnoses.rollout import turn
from worldgrid.diagnoses.subject import Watched


def test_a_bowl_has_one_valley_and_an_egg_box_many() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 13), np.linspace(-1, 1, 13))
    assert valleys(x**2 + y**2) == 1
    assert valleys(np.cos(3 * np.pi * x) + np.cos(3 * np.pi * y)) == 4
    assert valleys(x + y) == 0, "a slope ends at the rim, and its end is no valley"


def test_a_straight_line_does_not_turn_and_a_square_turns_by_90_degrees() -> None:
    line = torch.arange(5.0)[None, :, None, None] * torch.ones(2, 1, 3, 2)
    assert turn(line) == pytest.approx(0.0, abs=0.1)
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])[None, :, None]
    assert turn(square) == pytest.approx(90.0, abs=1e-3)


def test_a_probe_finds_what_is_linear() -> None:
    stream = np.random.default_rng(0)
    tokens, weights = stream.standard_normal((400, 12)), stream.standard_normal((12, 3))
    places = tokens @ weights + 5
    probe = Probe.fit(tokens[:300], places[:300])
    assert np.abs(probe(tokens[300:]) - places[300:]).mean() < 0.05 * places.std()


def test_a_watched_cost_is_the_same_cost_and_remembers_each_call() -> None:
    watched = Watched(lambda actions: actions.square().sum(dim=(2, 3)))
    near, far = torch.zeros(2, 20, 1, 1), torch.arange(20.0)[None, :, None, None].expand(2, -1, 1, 1)
    for actions in (far, near):
        torch.testing.assert_close(watched(actions), actions.square().sum(dim=(2, 3)))
    cheapest = np.square(np.arange(10.0)).mean()
    torch.testing.assert_close(watched.elites, torch.tensor([[cheapest, 0.0]] * 2, dtype=torch.float32))
    assert watched.spreads[0].tolist() == pytest.approx([np.arange(20).std(), 0.0])


def test_contacts_that_only_happen_in_imagination_are_counted() -> None:
    still, moved = np.zeros((5, 3)), np.tile([0.0, 0.02, 0.05], (5, 1))
    assert compare(moved, moved, 0.02, 0.01).verdict == "sound"
    assert compare(still, still, 0.02, 0.01).verdict == "sound"
    false = compare(moved, still, 0.02, 0.01)
    assert (false.verdict, false.numbers["imagined_only"], false.numbers["simulator_only"]) == ("ill", 1.0, 0.0)
    missed = compare(still, moved, 0.02, 0.01)
    assert (missed.verdict, missed.numbers["simulator_only"]) == ("watch", 1.0)
    assert "5 times only in the simulator" in missed.sentence
