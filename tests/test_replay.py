"""Episodes as videos."""

import io

import av
import numpy as np
import pytest

from worldgrid.envs import ENVS, EnvSpec
from worldgrid.replay import RATE, enlarge, firsts, named, pick, still, video
from worldgrid.results import Recording
from worldgrid.spec import ConfigError


@pytest.fixture(scope="module")
def env() -> EnvSpec:
    return ENVS.parse({"kind": "point", "size": 48})


def recording(episode: int, success: bool, steps: int = 6) -> Recording:
    states = np.linspace([0.2, 0.2], [0.8, 0.5], steps + 1)
    return Recording(episode, success, states, goal=np.array([0.8, 0.5]))


def frames(film: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_video_has_a_frame_for_every_state(env: EnvSpec) -> None:
    film = video(env, recording(0, True, steps=6))
    assert len(frames(film)) == 7
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == RATE


def test_the_last_frame_of_a_success_looks_like_the_goal_beside_it(env: EnvSpec) -> None:
    first, *_, last = frames(video(env, recording(0, True)))
    side = enlarge(env.render(np.array([[0.8, 0.5]]))).shape[1]
    apart = [np.abs(frame[:, :side].astype(int) - frame[:, -side:]).mean() for frame in (first, last)]
    assert apart[1] < 0.5 < apart[0]


def test_a_still_is_the_last_picture(env: EnvSpec) -> None:
    film = video(env, recording(0, True))
    with av.open(io.BytesIO(still(film))) as container:
        (picture,) = container.decode(video=0)
    assert still(film).startswith(b"\x89PNG")
    assert np.array_equal(picture.to_ndarray(format="rgb24"), frames(film)[-1])


def test_the_same_episode_gives_the_same_bytes(env: EnvSpec) -> None:
    assert video(env, recording(0, True)) == video(env, recording(0, True))


@pytest.mark.parametrize("size", [8, 48, 63, 64, 65, 224, 256, 300])
def test_pictures_are_enlarged_to_even_sides_of_at_least_256_pixels(size: int) -> None:
    large = enlarge(np.zeros((1, size, size, 3), np.uint8))
    assert large.shape[1] == large.shape[2] >= 256
    assert large.shape[1] % 2 == 0
    assert large.shape[1] % size == 0


def test_the_first_success_and_the_first_failure_are_picked() -> None:
    picked = pick([recording(0, False), recording(1, True), recording(2, False), recording(3, True)])
    assert {what: one.episode for what, one in picked.items()} == {"success": 1, "failure": 0}


def test_where_nothing_failed_there_is_no_failure_to_show() -> None:
    assert list(pick([recording(0, True)])) == ["success"]


def test_as_many_successes_and_failures_come_first_as_were_asked_for() -> None:
    played = [recording(episode, success=episode % 3 == 0) for episode in range(12)]
    assert [one.episode for one in firsts(played, 2)] == [0, 1, 2, 3]


def test_episodes_come_as_they_are_named() -> None:
    played = [recording(episode, success=True) for episode in range(4)]
    assert [one.episode for one in named(played, [3, 1])] == [3, 1]


def test_a_missing_episode_is_named_with_the_spans_that_are_there() -> None:
    played = [recording(episode, success=True) for episode in (0, 1, 2, 8, 9)]
    with pytest.raises(ConfigError, match="episode 5: was not played; 0 to 2, 8 to 9 were"):
        named(played, [5])
