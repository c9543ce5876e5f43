"""MuJoCo's pictures come from a process of their own, which survives itself and not its parent."""

import ctypes.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from worldgrid.envs.gl import renderer
from worldgrid.envs.pointmaze import PointMaze
from worldgrid.spec import ConfigError

pytestmark = pytest.mark.skipif(ctypes.util.find_library("EGL") is None, reason="no EGL on this machine")

GL, FLAT = PointMaze(), PointMaze(renderer="raster")
STATES = GL.tasks(range(6)).state()


def green(frames: np.ndarray) -> np.ndarray:
    """`[n, 2]` mean row and column of the greenest pixels."""
    greenness = 2 * frames[..., 1].astype(float) - frames[..., 0] - frames[..., 2]
    return np.array([np.mean(np.nonzero(frame > 60), axis=1) for frame in greenness])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_frame_is_the_same_alone_and_in_a_batch_and_again() -> None:
    frames = GL.render(STATES)
    assert frames.shape == (6, 64, 64, 3)
    assert np.array_equal(GL.render(STATES), frames)
    for state, frame in zip(STATES, frames, strict=True):
        assert np.array_equal(GL.render(state[None])[0], frame)


def test_the_camera_sees_the_ball_where_the_flat_picture_draws_it() -> None:
    open_floor = np.array([[0.8, 1.0, 0, 0], [0.8, 2.8, 0, 0], [1.8, 2.8, 0, 0], [2.8, 2.8, 0, 0], [2.8, 1.0, 0, 0]])
    assert np.abs(green(GL.render(open_floor)) - green(FLAT.render(open_floor))).max() < 1.0


def test_drawing_leaves_this_process_without_opengl() -> None:
    GL.render(STATES)
    egl = sys.modules.get("mujoco.egl")  # loaded where MUJOCO_GL=egl is exported, harmless without a display
    assert egl is None or egl.EGL_DISPLAY is None


def test_one_process_draws_every_batch_of_a_scene() -> None:
    GL.render(STATES)
    first = renderer(GL.scene).pid
    PointMaze(threshold=0.4).render(STATES)
    assert renderer(GL.scene).pid == first


def test_a_renderer_that_dies_is_started_again() -> None:
    frames = GL.render(STATES)
    first = renderer(GL.scene).pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert np.array_equal(GL.render(STATES), frames)
    assert renderer(GL.scene).pid != first


def test_the_renderer_ends_with_a_killed_parent() -> None:
    script = (
        "import os, signal\n"
        "import numpy as np\n"
        "from worldgrid.envs.gl import renderer\n"
        "from worldgrid.envs.pointmaze import PointMaze\n"
        "maze = PointMaze(size=16)\n"
        "maze.render(np.ones((1, 4)))\n"
        "print(renderer(maze.scene).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, check=False)
    child = int(parent.stdout)
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


@pytest.mark.parametrize(
    ("variable", "value"), [("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere.json"), ("PYTHONHOME", "/nowhere")]
)
def test_without_opengl_the_error_says_what_to_install(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    states = STATES[:1]
    with pytest.raises(ConfigError, match=r"install libegl1 and libgl1, or set `renderer: raster`"):
        PointMaze(size=16).render(states)
    assert FLAT.render(states).any()
