"""robosuite in a Python of its own: a script, run by `robosuite.py`, that imports nothing of worldgrid.

It reads one line of JSON (what to build) and answers one line, `{}` or `{"error": ...}`. From then on a request is a
line, `{"do": ..., "seeds": [...], "shapes": [...]}`, and arrays of these shapes (float64); an answer is a line,
`{"shape": [...]}` or `{"error": ...}`, and one array: states (float64) or frames (uint8). Each is a function of its
request alone, for a state holds all that simulator, controllers and the study's tests go on from. It ends when its
input does, or its parent. n episodes, X state, S side of a frame; metres, radians. Facts: robosuite 1.5.2.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from typing import Any, BinaryIO, NamedTuple

import numpy as np


class Task(NamedTuple):
    """What robosuite calls a task."""

    env: str
    object: str
    """The body that is moved."""
    camera: str = "agentview"
    """The view where none is asked for."""
    robot: str = "Panda"
    package: str = "robosuite"
    """What brings the environment."""


TASKS = {
    "lift": Task("Lift", "cube_main", "frontview"),
    "pick_place": Task("PickPlaceCan", "Can_main"),
    "counter_top": Task("PnPCounterTop", "obj_main", "robot0_leftview", "PandaOmron", "robocasa"),
}
SCALE = np.array([0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 1.0])
"""Change of the hand's position, its angles and the gripper that the controller's largest input asks for."""
OVER = (np.array([-0.3, -0.25, 0.1]), np.array([0.1, 0.25, 0.35]))
"""Where the hand starts: drawn from this box around the object's first place."""
AWAY = 0.25
"""At least so far from the object; and so far from its old place is the object's new one."""
TRAVEL = 50
"""Control steps (at 20 Hz) in which the hand goes there and the objects come to rest."""


class Simulator:
    """One robot in one model, put into one state after the other."""

    def __init__(self, *, task: str, camera: str | None, size: int, repeat: int, state: int) -> None:
        self._task = TASKS[task]
        importlib.import_module(self._task.package)
        import robosuite

        quiet = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
        self._env = robosuite.make(
            self._task.env,
            robots=self._task.robot,
            hard_reset=False,
            ignore_done=True,
            control_freq=20,
            seed=0,
            **quiet,
        )
        for name in self._env.observation_names:
            self._env.modify_observable(name, "enabled", False)
        self._model, self._data = self._env.sim.model._model, self._env.sim.data._data
        self._robot = self._env.robots[0]
        (self._arm,) = self._robot.arms
        self._gripper = self._robot.gripper[self._arm]
        self._hand, self._object = self._robot.eef_site_id[self._arm], self._model.body(self._task.object).id
        self._finger = int(self._model.joint(self._gripper.joints[0]).qposadr[0])
        self._idle = np.zeros(self._env.action_dim - len(SCALE))  # a mobile base stands still
        self._camera, self._size, self._repeat, self._state = camera or self._task.camera, size, repeat, state
        self._renderer: Any = None
        self._target, self._rise, self._height = np.zeros(3), 0.0, 0.0

    def start(self, seed: int) -> np.ndarray:
        """`[X]` an episode drawn from its seed: objects where robosuite puts them, the hand away from them."""
        stream = np.random.default_rng(seed)
        self._env.rng.bit_generator.state = np.random.default_rng(int(stream.integers(2**63))).bit_generator.state
        self._env.reset()
        place = _away(stream, self._data.xpos[self._object].copy())
        for _ in range(TRAVEL):
            towards = np.clip(place - self._data.site_xpos[self._hand], -0.05, 0.05)
            self._control(np.concatenate([towards, np.zeros(3), [-1.0]]))
        self._rise, self._height = 0.0, float(self._data.xpos[self._object][2])
        self._target = self._new_place(stream)
        return self._read()

    def step(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
        """`[X]` after `[7]` an action, repeated."""
        self._restore(state)
        for _ in range(self._repeat):
            self._control(action)
            self._rise = max(self._rise, float(self._data.xpos[self._object][2]) - self._height)
        return self._read()

    def draw(self, state: np.ndarray) -> np.ndarray:
        """`[S, S, 3]` what the camera sees."""
        import mujoco

        if self._renderer is None:
            self._model.vis.global_.offwidth = self._model.vis.global_.offheight = self._size
            self._renderer = mujoco.Renderer(self._model, self._size, self._size)
            self._seen = mujoco.MjvOption()
            self._seen.geomgroup[0] = 0  # shapes for collisions
        self._restore(state)
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera, self._seen)
        frame: np.ndarray = self._renderer.render()
        return frame

    def _control(self, action: np.ndarray) -> None:
        """One control step; afterwards what stands where is up to date."""
        import mujoco

        self._env.step(np.concatenate([np.clip(action / SCALE, -1.0, 1.0), self._idle]))
        mujoco.mj_kinematics(self._model, self._data)

    def _new_place(self, stream: np.random.Generator) -> np.ndarray:
        """Where the expert takes the object: the can's own compartment, or a place on the table."""
        if self._task.env == "PickPlaceCan":
            compartment: np.ndarray = self._env.target_bin_placements[self._env.object_id].copy()
            compartment[2] = self._height
            return compartment
        here = self._data.xpos[self._object].copy()
        while True:
            place = np.append(stream.uniform([-0.15, -0.3], [0.15, 0.3]), here[2])
            if np.linalg.norm(place - here) >= AWAY:
                return place

    def _read(self) -> np.ndarray:
        """What the study measures and the gripper's effort, then what simulator and controller go on from."""
        data, arm = self._data, self._robot.part_controllers[self._arm]
        hand = [data.site_xpos[self._hand], _angles(data.site_xmat[self._hand]), data.qpos[[self._finger]]]
        gripper = np.broadcast_to(self._gripper.current_action, 2)
        measured = [*hand, data.xpos[self._object], self._target, [self._rise, self._height], gripper]
        state = np.concatenate([*measured, data.qpos, data.qvel, data.qacc_warmstart, data.ctrl, arm.initial_joint])
        if len(state) > self._state:
            raise ValueError(f"a state of {self._task.env} has {len(state)} numbers; there is room for {self._state}")
        return np.pad(state, (0, self._state - len(state)))

    def _restore(self, state: np.ndarray) -> None:
        data, arm = self._data, self._robot.part_controllers[self._arm]
        parts = [data.qpos, data.qvel, data.qacc_warmstart, data.ctrl]
        sizes = [10, 3, 1, 1, 2, *map(len, parts), len(arm.initial_joint)]
        _, target, rise, height, gripper, *numbers, initial, _ = np.split(state, np.cumsum(sizes))
        self._target, self._rise, self._height = target, float(rise[0]), float(height[0])
        self._gripper.current_action, arm.initial_joint = gripper.copy(), initial.copy()
        for part, values in zip(parts, numbers, strict=True):
            part[:] = values
        data.time = 0.0


def _away(stream: np.random.Generator, here: np.ndarray) -> np.ndarray:
    while True:
        place = here + stream.uniform(*OVER)
        if np.linalg.norm(place - here) >= AWAY:
            return place


def _angles(flat: np.ndarray) -> np.ndarray:
    """`[9]` a rotation -> `[3]` its angles about the fixed axes x, y, z."""
    turned = flat.reshape(3, 3)
    return np.array(
        [
            np.arctan2(turned[2, 1], turned[2, 2]),
            np.arcsin(np.clip(-turned[2, 0], -1.0, 1.0)),
            np.arctan2(turned[1, 0], turned[0, 0]),
        ]
    )


def answer(simulator: Simulator, request: dict[str, Any], arrays: list[np.ndarray]) -> np.ndarray:
    """What a request asks for."""
    if request["do"] == "start":
        return np.stack([simulator.start(seed) for seed in request["seeds"]])
    if request["do"] == "step":
        return np.stack([simulator.step(state, action) for state, action in zip(*arrays, strict=True)])
    return np.stack([simulator.draw(state) for state in arrays[0]])


def end_with(parent: int) -> None:
    """Leave when the parent is gone, even if a process it forked still holds our input open."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer one request after the other until there are no more; what goes wrong is an answer too."""
    simulator: Simulator | None = None
    said: dict[str, Any]
    while line := requests.readline():
        request = json.loads(line)
        shapes = request.pop("shapes", [])
        arrays = [np.frombuffer(requests.read(8 * int(np.prod(shape))), "<f8").reshape(shape) for shape in shapes]
        try:
            if simulator is None:
                simulator, said, body = Simulator(**request), {}, b""
            else:
                result = answer(simulator, request, arrays)
                said, body = {"shape": list(result.shape)}, result.tobytes()
        except Exception as error:
            said, body = {"error": f"{type(error).__name__}: {error}".replace("\n", " ")}, b""
        replies.write(json.dumps(said).encode() + b"\n" + body)
        replies.flush()


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.stdin.buffer, answers)
    answers.flush()
    os._exit(0)  # tearing OpenGL down at exit only prints errors
