"""Learning rate, decay, what decays, precision, and averages of weights."""

import pytest
import torch
from torch import nn

from worldgrid.optimisation import Optimisation
from worldgrid.spec import ConfigError, parse


def made(**settings: object) -> Optimisation:
    return parse(Optimisation, settings, "train")


def test_a_constant_rate_is_the_same_at_every_step() -> None:
    assert {made(lr=0.1).lr_at(share) for share in (0.0, 0.5, 1.0)} == {0.1}


def test_a_cosine_falls_from_the_peak_to_the_final_share() -> None:
    plan = made(lr=0.1, schedule="cosine", final_lr=0.1)
    assert plan.lr_at(0.0) == pytest.approx(0.1)
    assert plan.lr_at(0.5) == pytest.approx(0.055)
    assert plan.lr_at(1.0) == pytest.approx(0.01)


def test_wsd_warms_up_stays_and_decays() -> None:
    plan = made(lr=1.0, schedule="wsd", warmup=0.1, decay=0.2)
    assert [plan.lr_at(share) for share in (0.0, 0.05, 0.1, 0.5, 0.8, 0.9, 1.0)] == pytest.approx(
        [0, 0.5, 1, 1, 1, 0.5, 0]
    )


def test_biases_and_one_dimensional_parameters_never_decay() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    plan = made(weight_decay=[0.5, 0.5], lr=0.1)
    optimiser = plan.optimiser(network)
    plan.set_step(optimiser, 0.3)
    network.zero_grad()
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimiser.step()
    shrunk = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    assert shrunk == [True, False, False, False]


def test_forward_passes_are_in_the_precision_asked_for_and_weights_stay_fp32() -> None:
    network, cpu = nn.Linear(3, 4), torch.device("cpu")
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with made(precision=precision).autocast(cpu):
            assert network(torch.ones(2, 3)).dtype == dtype
    assert network.weight.dtype == torch.float32


def averaged(ema: float, values: list[float]) -> list[float]:
    """The average of one weight after each of its values."""
    network, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 99.0)
    found = []
    for step, value in enumerate(values, start=1):
        nn.init.constant_(network.weight, value)
        made(ema=ema).average(average, network, step)
        found.append(average.weight.item())
    return found


def test_the_average_forgets_by_a_constant_share_and_knows_nothing_of_the_first_weights() -> None:
    values, keep = [3.0, -1.0, 2.0, 5.0], 0.9
    shares = [keep ** (len(values) - 1 - step) for step in range(len(values))]
    expected = sum(share * value for share, value in zip(shares, values, strict=True)) / sum(shares)
    found = averaged(keep, values)
    assert found[0] == pytest.approx(3.0)
    assert found[-1] == pytest.approx(expected, rel=1e-5)


def test_the_average_of_weights_that_stay_is_these_weights() -> None:
    assert averaged(0.999, [2.0] * 5) == pytest.approx([2.0] * 5)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"lr": 0}, "train.lr"),
        ({"betas": [0.9, 1.0]}, "betas"),
        ({"weight_decay": [-1, 0]}, "weight_decay"),
        ({"schedule": "wsd", "warmup": 0.6, "decay": 0.6}, "warmup"),
        ({"schedule": "linear"}, "schedule"),
        ({"precision": "fp16"}, "precision"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(settings: dict[str, object], place: str) -> None:
    with pytest.raises(ConfigError, match=place) as error:
        made(**settings)
    assert "\n" not in str(error.value)
