"""The process that draws a MuJoCo scene with EGL: a script, run by `gl.py`, that imports nothing of worldgrid.

It reads one line of JSON (the scene), answers `ready` or one line saying why not, and from then on reads a count n
(8 bytes) and n poses (float64), and answers n frames (uint8). It ends when its input does, or when its parent does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO


def prepare(scene: dict[str, Any]) -> tuple[Callable[[bytes], bytes], int]:
    """The function from a pose to a frame, and the bytes of a pose."""
    import mujoco
    import numpy as np

    model = mujoco.MjModel.from_xml_string(scene["xml"])
    data = mujoco.MjData(model)
    renderer = mujoco.Renderer(model, scene["size"], scene["size"])
    flags = mujoco.mjtRndFlag
    for effect in (flags.mjRND_SHADOW, flags.mjRND_REFLECTION, flags.mjRND_SKYBOX, flags.mjRND_HAZE):
        renderer.scene.flags[effect] = 0
    camera = mujoco.MjvCamera()
    camera.lookat[:] = scene["lookat"]
    camera.distance, camera.azimuth, camera.elevation = scene["distance"], scene["azimuth"], scene["elevation"]

    def draw(pose: bytes) -> bytes:
        data.qpos[:] = np.frombuffer(pose, "<f8")
        mujoco.mj_forward(model, data)
        renderer.update_scene(data, camera)
        frame: bytes = renderer.render().tobytes()
        return frame

    draw(bytes(8 * model.nq))
    return draw, 8 * model.nq


def end_with(parent: int) -> None:
    """Leave when the parent is gone, even if a process it forked still holds our input open."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer one request after the other until there are no more."""
    try:
        draw, pose = prepare(json.loads(requests.readline()))
    except Exception as error:
        replies.write(f"{type(error).__name__}: {error}".replace("\n", " ").encode() + b"\n")
        return
    replies.write(b"ready\n")
    replies.flush()
    while count := requests.read(8):
        poses = requests.read(int.from_bytes(count, "little") * pose)
        for start in range(0, len(poses), pose):
            replies.write(draw(poses[start : start + pose]))
        replies.flush()


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.stdin.buffer, answers)
    answers.flush()
    os._exit(0)  # tearing OpenGL down at exit only prints errors
