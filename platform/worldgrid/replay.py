"""Episodes as short videos: recorded states rendered again beside the goal. Nothing is planned again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray

from worldgrid.envs import EnvSpec, Frames
from worldgrid.results import Evaluation, Recording, Trial
from worldgrid.spec import ConfigError

SIDE = 256
"""Fewest pixels on a side of each picture."""
RATE = 10
"""Simulator steps shown per second."""
_GAP = 8


def pick(recordings: Sequence[Recording]) -> dict[str, Recording]:
    """The first success and the first failure, as far as there are any."""
    chosen: dict[str, Recording] = {}
    for recording in recordings:
        chosen.setdefault("success" if recording.success else "failure", recording)
    return dict(sorted(chosen.items(), reverse=True))


def firsts(recordings: Sequence[Recording], count: int) -> list[Recording]:
    """The first successes and the first failures, at most `count` of each, in order of their numbers."""
    chosen = [[one for one in recordings if one.success is success][:count] for success in (True, False)]
    return sorted([*chosen[0], *chosen[1]], key=lambda one: one.episode)


def named(recordings: Sequence[Recording], episodes: Sequence[int]) -> list[Recording]:
    """The episodes with these numbers; raises ConfigError where one was not played."""
    played = {one.episode: one for one in recordings}
    for episode in episodes:
        if episode not in played:
            raise ConfigError(f"episode {episode}: was not played; {_spans(list(played)) or 'none'} were")
    return [played[episode] for episode in episodes]


def _spans(episodes: Sequence[int]) -> str:
    """`0 to 7, 12 to 23` for numbers in order."""
    edges = [place for place in range(1, len(episodes)) if episodes[place] != episodes[place - 1] + 1]
    pieces = [episodes[start:end] for start, end in pairwise([0, *edges, len(episodes)])]
    return ", ".join(f"{piece[0]} to {piece[-1]}" for piece in pieces if piece)


def evaluation_of(trial: Trial, epoch: int | None) -> Evaluation:
    """A trial's evaluation of an epoch, the last one unless named; raises ConfigError where there is none."""
    if epoch is None:
        return trial.final
    there = {one.epoch: one for one in trial.evaluations}
    if epoch not in there:
        raise ConfigError(f"epoch {epoch}: trial {trial.key} evaluates {', '.join(map(str, there))}")
    return there[epoch]


def video(env: EnvSpec, recording: Recording, imagined: Frames | None = None) -> bytes:
    """An MP4 (H.264) of S + 1 frames: what happened on the left, what was imagined beside it, the goal on the right."""
    frames = enlarge(env.render(recording.states))
    goal = enlarge(env.render(recording.goal[None]))
    gap = np.full((len(frames), frames.shape[1], _GAP, 3), 128, np.uint8)
    between = [] if imagined is None else [enlarge(imagined), gap]
    return encode(np.concatenate([frames, gap, *between, np.broadcast_to(goal, frames.shape)], axis=2))


def enlarge(frames: Frames) -> Frames:
    """Every pixel as a square, so that sides have at least `SIDE` pixels and an even number of them."""
    times = -(-SIDE // frames.shape[1])
    times += times * frames.shape[1] % 2
    return frames.repeat(times, axis=1).repeat(times, axis=2)


def still(video: bytes) -> bytes:
    """The last picture of a video as a PNG: how the episode ended."""
    with av.open(io.BytesIO(video), "r") as container:
        *_, last = container.decode(video=0)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = last.width, last.height, "rgb24", Fraction(1, RATE)
    return b"".join(bytes(packet) for frame in (last.reformat(format="rgb24"), None) for packet in codec.encode(frame))


def encode(pictures: NDArray[np.uint8]) -> bytes:
    """`[T, height, width, 3]` RGB with even sides -> an MP4 that browsers play, the same bytes every time."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
