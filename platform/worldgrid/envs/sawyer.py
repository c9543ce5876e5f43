"""One Metaworld simulator whose whole state can be read and put back. X state; metres.

Traps of Metaworld 3.1.1 that end here: `reset(seed=...)` ignores its seed; one reset draws its random vector twice, and
what stands on the table depends on both draws; after a reset the goal marker is drawn where it was before; a reset
moves parts of the model, which no simulator state holds; MuJoCo's `mj_forward` touches the solver's warm start.
"""

from __future__ import annotations

import warnings
from typing import Any, final

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from metaworld.policies import ENV_POLICY_MAP

from worldgrid.envs import Floats
from worldgrid.envs.gl import pose

OBSERVATION = 39
"""Metaworld's observation, which is the study's state: now (18), one step before (18), the target (3)."""
PARTS = {"observation": OBSERVATION, "vector": 6, "qpos": 18, "qvel": 17, "warmstart": 17, "mocap": 7, "control": 2}
"""What a state holds, and the most numbers that any of the 50 tasks needs for it; the rest is zero."""
STATE = sum(PARTS.values())
_BOUNDS = np.cumsum(list(PARTS.values()))[:-1]


@final
class Sawyer:
    """The arm and what lies before it."""

    success: bool
    """The simulator's own test, on the present state."""
    distance: float
    """What that test measures in most tasks: from the object, or the fingers, to the target."""

    def __init__(self, task: str) -> None:
        made: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-v3-goal-observable"]
        self._simulator = made(seed=0)
        self._vector = np.empty(0)
        self._observation = np.zeros(OBSERVATION)

    @property
    def source(self) -> str:
        """Path of the model's MJCF file."""
        return str(self._simulator.model_name)

    def start(self, seed: int) -> None:
        """Begin an episode drawn from `seed`, with the study's one step of standing still."""
        simulator = self._simulator
        simulator.seeded_rand_vec, simulator._freeze_rand_vec = True, False
        simulator.seed(seed)
        simulator.reset()
        self._arrange(simulator._last_rand_vec.copy())
        self.step(np.zeros(4))

    def step(self, action: Floats) -> None:
        """Apply `[4]` a displacement of the hand (units of 1 cm) and the effort of the gripper, clipped to one."""
        self._simulator.curr_path_length = 0  # it refuses to go on after 500 steps; how long episodes are is not its
        seen, _, _, _, said = self._simulator.step(action.clip(-1.0, 1.0))
        self._see(seen, said)

    def state(self) -> Floats:
        """`[X]`."""
        data = self._simulator.data
        parts = [
            self._observation,
            self._vector,
            data.qpos,
            data.qvel,
            data.qacc_warmstart,
            np.concatenate([data.mocap_pos, data.mocap_quat], axis=None),
            data.ctrl,
        ]
        return np.concatenate([_pad(part, size) for part, size in zip(parts, PARTS.values(), strict=True)])

    def restore(self, state: Floats) -> None:
        """Put `[X]` back: what follows is the same to the bit as when it was read, in any simulator of the task."""
        observation, vector, qpos, qvel, warmstart, mocap, control = np.split(state, _BOUNDS)
        simulator, data = self._simulator, self._simulator.data
        vector = vector[: simulator._random_reset_space.low.size]
        if not np.array_equal(vector, self._vector):
            self._arrange(vector)
        data.qpos[:], data.qvel[:] = qpos[: data.qpos.size], qvel[: data.qvel.size]
        data.qacc_warmstart[:] = warmstart[: data.qacc_warmstart.size]
        data.mocap_pos[:], data.mocap_quat[:], data.ctrl[:] = mocap[:3], mocap[3:], control
        mujoco.mj_forward(simulator.model, data)
        data.qacc_warmstart[:] = warmstart[: data.qacc_warmstart.size]
        simulator._prev_obs = simulator._get_curr_obs_combined_no_goal()
        _, said = simulator.evaluate_state(observation.copy(), np.zeros(4))  # some tasks write into what they are given
        self._see(observation, said)

    def pose(self) -> Floats:
        """Where everything stands, for the renderer."""
        return pose(self._simulator.data)

    def _arrange(self, vector: Floats) -> None:
        """Reset to the episode that a random vector describes, whatever was before."""
        self._simulator._freeze_rand_vec, self._simulator._last_rand_vec = True, vector
        self._simulator.reset()
        self._vector = vector

    def _see(self, observation: Floats, said: dict[str, Any]) -> None:
        self._observation = observation.copy()
        self.success, self.distance = bool(said["success"]), float(said["obj_to_target"])


def expert(task: str, states: Floats) -> Floats:
    """`[B, X]` states -> `[B, 4]` actions of Metaworld's scripted policy, which sees the observation alone."""
    made: Any = ENV_POLICY_MAP[f"{task}-v3"]
    policy = made()
    with warnings.catch_warnings(action="ignore"):  # that actions may be larger than one: they are clipped here
        actions = [policy.get_action(state[:OBSERVATION]) for state in states]
    return np.array(actions, dtype=np.float64).reshape(-1, 4).clip(-1.0, 1.0)


def _pad(part: Floats, size: int) -> Floats:
    return np.concatenate([part, np.zeros(size - part.size)])
