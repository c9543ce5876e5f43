"""The process that draws a MuJoCo scene with EGL: a script, run by `gl.py`, that imports nothing of worldgrid.

It reads one line of JSON (the scene), answers `ready` or one line saying why not, and from then on reads a count n
(8 bytes) and n poses (float64: positions and orientations of geoms and sites), and answers n frames (uint8). It ends
when its input does, or when its parent does.
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

    source, size, seen = scene["source"], scene["size"], scene["camera"]
    text = source.lstrip().startswith("<")
    model = mujoco.MjModel.from_xml_string(source) if text else mujoco.MjModel.from_xml_path(source)
    model.vis.quality.offsamples = scene["samples"]
    model.vis.global_.offwidth = model.vis.global_.offheight = size
    camera = mujoco.MjvCamera()
    if "name" in seen:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera(seen["name"]).id
        model.cam_pos[camera.fixedcamid] = seen["position"]
    else:
        camera.lookat[:] = seen["lookat"]
        camera.distance, camera.azimuth, camera.elevation = seen["distance"], seen["azimuth"], seen["elevation"]
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, size, size)
    for effect in scene["hidden"]:
        renderer.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{effect.upper()}")] = 0
    parts = (data.geom_xpos, data.geom_xmat, data.site_xpos, data.site_xmat)
    ends = np.cumsum([part.size for part in parts])

    def draw(pose: bytes) -> bytes:
        for part, numbers in zip(parts, np.split(np.frombuffer(pose, "<f8"), ends[:-1]), strict=True):
            part[:] = numbers.reshape(part.shape)
        renderer.update_scene(data, camera)
        frame = renderer.render()
        drawn: bytes = (frame[::-1] if seen.get("upside_down") else frame).tobytes()
        return drawn

    draw(np.concatenate(parts, axis=None).tobytes())
    return draw, 8 * int(ends[-1])


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
