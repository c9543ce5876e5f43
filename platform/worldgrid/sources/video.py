"""Videos: frames decoded one after the other. h height, w width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from worldgrid.sources import CorruptError


@contextmanager
def opened(file: IO[bytes]) -> Iterator[Any]:
    """The container of a video file; whatever its decoder says against it becomes a CorruptError."""
    try:
        with av.open(file) as container:
            if not container.streams.video:
                raise CorruptError("video: has no pictures")
            container.streams.video[0].codec_context.thread_count = 1
            yield container
    except (av.FFmpegError, OSError) as error:
        raise CorruptError(f"video: {getattr(error, 'strerror', None) or error}") from None


def rate(container: Any) -> float:
    """Frames per second, on average."""
    return float(container.streams.video[0].average_rate or 0)


def pictures(container: Any, stride: int = 1) -> Iterator[NDArray[np.uint8]]:
    """`[h, w, 3]` RGB of every `stride`-th frame."""
    for index, frame in enumerate(container.decode(video=0)):
        if index % stride == 0:
            yield frame.to_ndarray(format="rgb24")


def pictures_from(container: Any, seconds: float, count: int) -> Iterator[NDArray[np.uint8]]:
    """`[h, w, 3]` RGB of `count` frames from the one shown at `seconds` on, fewer where the video ends."""
    stream = container.streams.video[0]
    container.seek(int(seconds / stream.time_base), stream=stream)  # the key frame at or before it
    first = seconds - 0.5 / rate(container)
    for frame in container.decode(video=0):
        if frame.time >= first:
            yield frame.to_ndarray(format="rgb24")
            count -= 1
        if not count:
            return
