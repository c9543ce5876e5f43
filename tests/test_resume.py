"""A training goes on from what it left: weights, moments, averages, and how far it was."""

from pathlib import Path

import torch
from torch import nn

from worldgrid.optimisation import Optimisation
from worldgrid.resume import load_state, read_state, restore, save_state

PLAN = Optimisation(lr=0.1)


class Learner:
    """A layer that learns to say 1."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network, self.average = nn.Linear(3, 2), nn.Linear(3, 2).requires_grad_(False)
        self.optimiser = PLAN.optimiser(self.network)

    def learn(self, first: int, last: int) -> None:
        for step in range(first, last):
            seen = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
            self.optimiser.zero_grad()
            (self.network(seen) - 1).square().mean().backward()
            self.optimiser.step()
            Optimisation(ema=0.5).average(self.average, self.network, step + 1)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_without_a_state_nothing_is_done_yet(tmp_path: Path) -> None:
    learner = Learner(0)
    assert load_state(tmp_path / "state", learner.network, learner.optimiser, learner.average) == 0


def test_weights_and_average_go_on_to_the_bit(tmp_path: Path) -> None:
    whole, begun, resumed = Learner(0), Learner(0), Learner(1)
    whole.learn(0, 7)
    begun.learn(0, 4)
    save_state(tmp_path / "state", begun.network, begun.optimiser, 4, begun.average)
    assert load_state(tmp_path / "state", resumed.network, resumed.optimiser, resumed.average) == 4
    resumed.learn(4, 7)
    assert same(resumed.network, whole.network)
    assert same(resumed.average, whole.average)
    assert not same(whole.average, whole.network)


def test_steps_into_the_next_unit_are_known(tmp_path: Path) -> None:
    learner = Learner(0)
    learner.learn(0, 1)
    save_state(tmp_path / "state", learner.network, learner.optimiser, 2, into=7)
    assert restore(read_state(tmp_path / "state"), learner.network, learner.optimiser) == (2, 7)
    assert load_state(tmp_path / "state", learner.network, learner.optimiser) == 2


def test_without_an_average_none_is_kept(tmp_path: Path) -> None:
    with_it, without = tmp_path / "with", tmp_path / "without"
    learner = Learner(0)
    learner.learn(0, 1)
    save_state(with_it, learner.network, learner.optimiser, 1, learner.average)
    save_state(without, learner.network, learner.optimiser, 1)
    assert without.stat().st_size < with_it.stat().st_size
    other = Learner(1)
    assert load_state(without, other.network, other.optimiser) == 1
    assert same(other.network, learner.network)
