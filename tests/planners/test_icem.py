"""iCEM's own ideas: noise that is smooth in time, and elites that stay in the race."""

import pytest
import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Problem
from worldgrid.planners.icem import ICEM, blend, mixing
from worldgrid.spec import ConfigError

NOISE = Noise(seed=0, episodes=[4], replan=0)


def noise_of(colour: float, horizon: int = 12) -> Tensor:
    """`[20000, H]` draws of one number of the action."""
    return blend(mixing(horizon, colour), NOISE.normal(0, 20000, horizon, 1))[0, :, :, 0]


def test_colour_zero_is_white() -> None:
    torch.testing.assert_close(mixing(7, 0.0), torch.eye(7))


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
def test_coloured_noise_has_unit_variance_at_every_step(horizon: int) -> None:
    torch.testing.assert_close(noise_of(2.0, horizon).var(dim=0), torch.ones(horizon), atol=0.05, rtol=0)


def test_the_redder_the_noise_the_more_neighbours_agree() -> None:
    agreement = [float((noise[:, 1:] * noise[:, :-1]).mean()) for noise in map(noise_of, (0.0, 1.0, 2.0, 4.0))]
    assert agreement == sorted(agreement)
    assert abs(agreement[0]) < 0.02
    assert agreement[2] > 0.7


def test_the_power_of_the_noise_falls_with_its_frequency() -> None:
    power = torch.fft.rfft(noise_of(2.0, 16), dim=1).abs().square().mean(dim=0)
    torch.testing.assert_close(power[1] / power[2], torch.tensor(4.0), rtol=0.1, atol=0)
    torch.testing.assert_close(power[2] / power[4], torch.tensor(4.0), rtol=0.1, atol=0)


@pytest.mark.parametrize(("kept", "never_worse"), [(0.3, True), (0.0, False)])
def test_kept_elites_make_every_iteration_at_least_as_good(kept: float, never_worse: bool) -> None:
    def rugged(actions: Tensor) -> Tensor:
        return (actions - 1).square().flatten(2).mean(dim=2) + (40 * actions).sin().flatten(2).mean(dim=2)

    costs = ICEM(samples=20, elites=5, iterations=10, kept=kept).plan(Problem(rugged, 4, 3, NOISE)).costs
    assert bool((costs.diff(dim=1) <= 0).all()) == never_worse


def test_the_best_candidate_seen_is_returned() -> None:
    def cost(actions: Tensor) -> Tensor:
        return (actions - 1).square().flatten(2).mean(dim=2)

    plan = ICEM(samples=20, elites=5, iterations=5).plan(Problem(cost, 4, 3, NOISE))
    assert torch.equal(cost(plan.actions[:, None])[:, 0], plan.costs.amin(dim=1))


def test_as_many_elites_as_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="elites < samples fits; there are 10 elites of 10 samples"):
        PLANNERS.parse({"kind": "icem", "samples": 10})
