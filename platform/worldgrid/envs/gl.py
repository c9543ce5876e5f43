"""MuJoCo's pictures, drawn by EGL in processes of their own. n frames, S side in pixels, g numbers in a pose.

OpenGL beside training in one process crashed once in three runs, and a process forked after OpenGL started hangs; so
each scene has one child, started at its first frame, that ends with this process. See `gl_child.py` for its side.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast, final

import numpy as np

from worldgrid.envs import Floats, Frames
from worldgrid.spec import ConfigError

SCRIPT = Path(__file__).with_name("gl_child.py")


@dataclass(frozen=True)
class FreeCamera:
    """A camera that looks at a place."""

    lookat: tuple[float, float, float]
    """What it looks at, metres."""
    distance: float
    """From there to the camera, metres."""
    azimuth: float = 90.0
    """Degrees; 90 and -90 look straight down, x to the right and y upwards."""
    elevation: float = -90.0
    """Degrees."""


@dataclass(frozen=True)
class FixedCamera:
    """A camera of the model, moved."""

    name: str
    position: tuple[float, float, float]
    """Where it stands, metres."""
    upside_down: bool = False
    """Whether its pictures are turned over, as some simulators hand them out."""


@dataclass(frozen=True)
class Scene:
    """A MuJoCo model, and how it is looked at."""

    source: str
    """The model: MJCF, or the path of a file of it."""
    size: int
    """S: side of the frames, pixels."""
    camera: FreeCamera | FixedCamera
    hidden: tuple[str, ...] = ("shadow", "reflection", "skybox", "haze")
    """Effects that are not drawn; shadows cost most."""
    samples: int = 0
    """Samples per pixel that smooth edges; 0 leaves them as they are."""
    instead: str = ""
    """What else fits where OpenGL cannot be had, for the error."""


def pose(data: Any) -> Floats:
    """`[g]` where everything that is drawn stands in an `mjData` whose kinematics are up to date.

    Not joint positions: simulators move parts of the model itself from episode to episode.
    """
    return np.concatenate([data.geom_xpos, data.geom_xmat, data.site_xpos, data.site_xmat], axis=None)


def draw(scene: Scene, poses: Floats) -> Frames:
    """`[n, g]` poses -> `[n, S, S, 3]`; raises ConfigError where EGL cannot be had."""
    frames = renderer(scene).draw(poses)
    assert frames.any(axis=(1, 2, 3)).all(), "MuJoCo drew a black frame: its OpenGL context is lost"
    return frames


class DiedError(RuntimeError):
    """The child ended instead of answering."""


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    requests: io.BufferedWriter
    replies: io.BufferedReader

    def end(self) -> int:
        """Kill it and give its exit status."""
        self.process.kill()
        self.process.communicate()
        return self.process.returncode


@final
class Renderer:
    """The child process of one scene. A child that dies is started once more and asked again."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._turn = threading.Lock()
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child's process number, while there is one."""
        return self._child.process.pid if self._child else None

    def draw(self, poses: Floats) -> Frames:
        """`[n, g]` poses -> `[n, S, S, 3]`; raises ConfigError, or DiedError when the child died twice."""
        with self._turn:
            try:
                return self._ask(poses)
            except DiedError:
                return self._ask(poses)

    def stop(self) -> None:
        """End the child, if there is one; the next frame starts another."""
        if self._child:
            self._child.end()
        self._child = None

    def _ask(self, poses: Floats) -> Frames:
        child = self._child = self._child or _start(self._scene)
        frames = np.empty((len(poses), self._scene.size, self._scene.size, 3), np.uint8)
        answered = -1
        try:
            child.requests.write(len(poses).to_bytes(8, "little") + np.ascontiguousarray(poses, "<f8").tobytes())
            child.requests.flush()
            answered = child.replies.readinto(frames.data.cast("B"))
        except BrokenPipeError:
            pass  # it died; how is said below
        finally:
            if answered != frames.size:  # dead, or interrupted: never leave half an answer in the pipe
                self.stop()
        if answered != frames.size:
            raise DiedError(f"the process that draws died twice (exit status {child.process.returncode})")
        return frames


def _start(scene: Scene) -> _Child:
    """A child that has made its OpenGL context; it alone is told which OpenGL to use."""
    process = subprocess.Popen(  # noqa: S603  (our own file)
        [sys.executable, "-P", str(SCRIPT), str(os.getpid())],
        env=os.environ | {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child = _Child(process, cast(io.BufferedWriter, process.stdin), cast(io.BufferedReader, process.stdout))
    with contextlib.suppress(BrokenPipeError):  # then its exit status says why
        child.requests.write(json.dumps(asdict(scene)).encode() + b"\n")
        child.requests.flush()
    said = child.replies.readline().decode().strip()
    if said == "ready":
        return child
    reason = said or f"exit status {child.end()}"
    child.end()
    instead = f", or set {scene.instead}" if scene.instead else ""
    raise ConfigError(f"MuJoCo cannot draw here ({reason}); install libegl1 and libgl1{instead}")


_renderers: dict[tuple[int, Scene], Renderer] = {}
_door = threading.Lock()


def renderer(scene: Scene) -> Renderer:
    """The one renderer of a scene in this process; a forked process gets its own."""
    with _door:
        return _renderers.setdefault((os.getpid(), scene), Renderer(scene))


@atexit.register
def _stop_all() -> None:
    for (pid, _), started in _renderers.items():
        if pid == os.getpid():
            started.stop()
