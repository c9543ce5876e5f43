"""Encoded frames on disk, and clips of them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgrid.latents import EncodedShard, Latents, is_encoded, write_encoded, write_index

LENGTHS = [[5, 2], [7], [3, 3]]
KEEP = 2


def frame_numbers() -> np.ndarray:
    return np.arange(sum(map(sum, LENGTHS)))


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Latents:
    """Frame i's tokens are all i; its action is (i, i + 0.5), zeros behind a trajectory's last frame."""
    folder, first = tmp_path_factory.mktemp("latents"), 0
    for index, lengths in enumerate(LENGTHS):
        count = sum(lengths)
        numbers = np.arange(first, first + count)
        actions = np.stack([numbers, numbers + 0.5], axis=1).astype(np.float32)
        actions[np.cumsum(lengths) - 1] = 0
        tokens = np.broadcast_to(numbers[:, None, None], (count, 4, 3)).astype(np.float16)
        write_encoded(
            folder, index, EncodedShard(tokens, numbers[:, None].astype(np.float32), numbers[:, None] * 1.0, actions)
        )
        first += count
    write_index(folder, keep=KEEP, lengths=LENGTHS, patches=4, width=3)
    return Latents(folder)


def trajectory_of(frame: int) -> int:
    return int(np.searchsorted(np.cumsum(list(itertools.chain(*LENGTHS))), frame, side="right"))


@given(frames=st.integers(1, 4), stride=st.integers(1, 3))
@settings(deadline=None)
def test_every_clip_that_fits_is_found_once_and_stays_in_its_trajectory(
    latents: Latents, frames: int, stride: int
) -> None:
    found = latents.starts(np.arange(5), frames, stride).tolist()
    last = lambda start: start + (frames - 1) * stride  # noqa: E731
    wanted = [
        start
        for start in frame_numbers().tolist()
        if last(start) < len(frame_numbers()) and trajectory_of(start) == trajectory_of(last(start))
    ]
    assert found == wanted


def test_a_clip_holds_the_frames_and_the_actions_between_them(latents: Latents) -> None:
    clips = latents.read(np.array([7]), frames=3, stride=2)
    assert clips.latents[0, :, 0, 0].tolist() == [7, 9, 11]
    assert clips.actions[0, :2].tolist() == [[7, 7.5, 8, 8.5], [9, 9.5, 10, 10.5]]
    assert clips.latents.shape == (1, 3, 4, 3)
    assert clips.latents.dtype == np.float32


def test_clips_come_in_the_order_asked_for_across_shards(latents: Latents) -> None:
    starts = np.array([14, 0, 9, 1, 17, 8])
    assert latents.read(starts, frames=2, stride=1).proprio[:, 0, 0].tolist() == starts.tolist()


def test_statistics_see_only_the_named_trajectories_and_no_padding(latents: Latents) -> None:
    proprio, actions = latents.controls(np.array([1, 3]))
    assert proprio[:, 0].tolist() == [5, 6, 14, 15, 16]
    assert actions[:, 0].tolist() == [5, 14, 15]


def test_a_shard_counts_only_when_its_latents_are_there(tmp_path: Path) -> None:
    assert not is_encoded(tmp_path, 0)
    write_encoded(tmp_path, 0, EncodedShard(*(np.zeros((1, 1, 1)) for _ in range(4))))
    assert is_encoded(tmp_path, 0)
