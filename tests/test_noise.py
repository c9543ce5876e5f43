"""Random numbers that belong to what varies, and to nothing else. B episodes, `[B, *shape]` draws."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldgrid.noise import Noise, generator, stream_seed

NAMES = st.lists(st.integers(0, 2**64) | st.text(max_size=4), max_size=5)


def test_a_stream_always_begins_at_its_beginning() -> None:
    first = generator("collect", 0, 7).random(100)
    generator("collect", 0, 8).random(100)
    np.testing.assert_array_equal(generator("collect", 0, 7).random(100), first)


def test_a_stream_is_the_same_today_and_tomorrow() -> None:
    numbers = generator("collect", 0, 7).integers(1000, size=6)
    assert numbers.tolist() == [912, 685, 729, 252, 896, 333]


@given(NAMES, NAMES)
def test_streams_with_different_names_differ(one: list[int | str], other: list[int | str]) -> None:
    same = generator(*one).bytes(16) == generator(*other).bytes(16)
    assert same == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("plan", 5), ("plan", 5, 0)),
        ((1, 2), (2, 1)),
        ((1, 2), (1 + 2 * 2**32,)),
        (("12",), (12,)),
        (("a", "b"), ("ab",)),
    ],
)
def test_names_that_are_easily_confused_differ(one: tuple[int | str, ...], other: tuple[int | str, ...]) -> None:
    assert stream_seed(*one) != stream_seed(*other)


def test_numpy_integers_name_the_same_stream_as_python_integers() -> None:
    assert stream_seed("train", np.int64(3)) == stream_seed("train", 3)


def test_a_seed_fits_torch() -> None:
    seeds = [stream_seed("train", seed) for seed in range(100)]
    assert len({torch.Generator().manual_seed(seed).initial_seed() for seed in seeds}) == 100


def test_an_episode_draws_the_same_alone_and_in_a_batch() -> None:
    batch = Noise(0, range(10, 18), replan=3).normal(2, 64, 6)
    alone = Noise(0, [15], replan=3).normal(2, 64, 6)
    assert torch.equal(batch[5], alone[0])


@given(st.permutations(range(6)))
def test_the_order_of_episodes_does_not_matter(order: list[int]) -> None:
    assert torch.equal(Noise(0, order, replan=0).normal(0, 3), Noise(0, range(6), replan=0).normal(0, 3)[order])


def test_draws_may_be_asked_for_in_any_order() -> None:
    forward, backward = Noise(0, [1, 2], replan=0), Noise(0, [1, 2], replan=0)
    draws = [forward.normal(draw, 4) for draw in range(5)]
    again = [backward.normal(draw, 4) for draw in reversed(range(5))]
    assert all(torch.equal(one, other) for one, other in zip(draws, reversed(again), strict=True))


def test_every_seed_episode_replanning_step_and_draw_has_numbers_of_its_own() -> None:
    streams = itertools.product(range(3), range(3), range(3), range(3))
    firsts = {Noise(seed, [episode], replan).uniform(draw, 1).item() for seed, episode, replan, draw in streams}
    assert len(firsts) == 81


def test_more_samples_begin_with_the_same_samples() -> None:
    few, many = (Noise(0, [4], replan=1).normal(0, samples, 6, 10) for samples in (16, 64))
    assert torch.equal(few, many[:, :16])


@pytest.mark.parametrize(("kind", "mean", "std"), [("normal", 0.0, 1.0), ("uniform", 0.5, 12**-0.5)])
def test_draws_have_the_moments_of_their_distribution(kind: str, mean: float, std: float) -> None:
    draws = getattr(Noise(0, range(400), replan=0), kind)(0, 500)
    assert draws.dtype == torch.float32
    assert draws.shape == (400, 500)
    assert draws.mean().item() == pytest.approx(mean, abs=5 * std / draws.numel() ** 0.5)
    assert draws.std().item() == pytest.approx(std, rel=0.01)


def test_uniform_draws_stay_in_their_interval() -> None:
    draws = Noise(0, range(100), replan=0).uniform(0, 1000)
    assert draws.min() >= 0
    assert draws.max() < 1


def test_neighbouring_streams_are_not_correlated() -> None:
    draws = Noise(0, range(64), replan=0).normal(0, 4096)
    off_diagonal = torch.corrcoef(draws) - torch.eye(64)
    assert off_diagonal.abs().max() < 6 / 4096**0.5
