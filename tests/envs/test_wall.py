"""The study's two rooms, against the official code's transitions and frames, and on their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn.functional import interpolate

from worldgrid.envs import ENVS, Floats
from worldgrid.envs.wall import Wall
from worldgrid.spec import ConfigError

ROOMS = Wall()


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return load_file(shared / "official_golden" / "wall" / "transitions.safetensors")


def go(place: tuple[float, float], action: tuple[float, float]) -> list[float]:
    return ROOMS.advance(np.array([place]), np.array([action]))[0].tolist()


def in_a_wall(places: Floats) -> np.ndarray:
    x, y = places.T
    outside = (np.minimum(x, y) <= 4) | (np.maximum(x, y) >= 60)
    return outside | ((x >= 29) & (x <= 35) & ((y <= 26) | (y >= 34)))


def test_every_official_transition_is_reproduced(golden: dict[str, np.ndarray]) -> None:
    positions = golden["positions"].astype(np.float64)
    before, after = positions[:, :-1].reshape(-1, 2), positions[:, 1:].reshape(-1, 2)
    ours = ROOMS.advance(before, golden["actions"].reshape(-1, 2).astype(np.float64))
    assert len(ours) == 2400
    assert np.abs(ours - after).max() < 1e-4


def test_official_frames_are_drawn_exactly(golden: dict[str, np.ndarray]) -> None:
    official = golden["frames_after_first_step"].transpose(0, 2, 3, 1)
    states = golden["positions"][: len(official), 1].astype(np.float64)
    assert np.array_equal(Wall(size=65).render(states), official)
    assert np.array_equal(Wall(size=64).render(states), official[:, :64, :64])


@pytest.mark.parametrize("size", [224, 32])
def test_other_sizes_are_resized_as_torchvision_does(size: int) -> None:
    states = np.array([[10.3, 20.7], [50.1, 8.2], [32.4, 30.9]])
    drawn = torch.from_numpy(Wall(size=65).render(states)).permute(0, 3, 1, 2).float()
    resized = interpolate(drawn, (size, size), mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
    assert np.abs(Wall(size=size).render(states) - resized).max() <= 0.5 + 1e-3


def test_a_free_step_moves_by_twice_the_action() -> None:
    assert go((10.0, 20.0), (1.5, -0.25)) == [13.0, 19.5]


def test_a_straight_step_into_a_wall_stops_where_the_official_code_has_nan() -> None:
    assert go((20.0, 50.0), (0.0, 5.0)) == [20.5, 59.5]
    assert go((20.0, 10.0), (0.0, -5.0)) == [20.5, 4.5]
    assert go((20.0, 50.0), (5.0, 0.0)) == [28.5, 50.5]
    assert go((20.0, 50.0), (0.0, 0.0)) == [20.0, 50.0]


def test_pushing_against_the_wall_slides_along_it() -> None:
    assert go((28.5, 50.0), (1.0, 0.0)) == [28.5, 50.5]
    assert go((28.5, 59.6), (1.0, 0.0)) == [28.5, pytest.approx(59.7)]


def test_the_door_lets_through() -> None:
    assert go((26.0, 30.0), (6.0, 0.0)) == [38.0, 30.0]
    assert go((38.0, 33.0), (-6.0, -1.0)) == [26.0, 31.0]


def test_the_door_has_edges() -> None:
    assert go((32.0, 33.0), (0.0, 2.0)) == [32.5, 33.5]
    assert go((32.0, 27.0), (0.0, -2.0)) == [32.5, 26.5]


def test_no_step_is_long_enough_to_pass_a_wall() -> None:
    random = np.random.default_rng(0)
    left = np.column_stack([random.uniform(5, 28, 500), random.uniform(35, 59, 500)])
    straight = np.column_stack([random.uniform(20, 60, 500), random.uniform(0, 20, 500)])
    after = ROOMS.advance(left, straight)
    assert (after[:, 0] < 29).all()
    assert not in_a_wall(after).any()


def test_no_walk_ends_up_in_a_wall() -> None:
    random = np.random.default_rng(1)
    states = np.stack([ROOMS.draw_start(random) for _ in range(500)])
    for _ in range(200):
        states = ROOMS.advance(states, random.normal(0, 2, states.shape))
        assert not in_a_wall(states).any()


def test_tasks_cross_the_wall_inside_the_studys_margins() -> None:
    env = ROOMS.tasks(range(200))
    starts, goals = env.state(), env.goal.state
    assert ((starts[:, 0] < 32) != (goals[:, 0] < 32)).all()
    assert 60 < (starts[:, 0] < 32).sum() < 140
    for places in (starts, goals):
        assert places.min() >= 7.4
        assert places.max() <= 56.6
        assert (np.abs(places[:, 0] - 32) >= 6.4).all()


def test_exploring_starts_in_both_rooms_and_the_door() -> None:
    starts = ROOMS.explore(range(400)).state()
    assert not in_a_wall(starts).any()
    assert (starts[:, 0] < 28).any()
    assert (starts[:, 0] > 36).any()
    assert ((starts[:, 0] > 29) & (starts[:, 0] < 35)).any()


def test_a_moved_door_moves_in_picture_and_dynamics() -> None:
    moved = Wall(size=65, wall=40, door=50)
    assert moved.advance(np.array([[34.0, 50.0]]), np.array([[6.0, 0.0]])).tolist() == [[46.0, 50.0]]
    drawn = moved.render(np.array([[10.0, 10.0]]))[0]
    assert drawn[50, 40].tolist() == [255, 255, 255]
    assert drawn[30, 40].tolist() == [0, 0, 0]


def test_rooms_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="a door between the outer walls"):
        ENVS.parse({"kind": "wall", "door": 61})
    with pytest.raises(ConfigError, match="leaves rooms wider than"):
        ENVS.parse({"kind": "wall", "wall": 12})
