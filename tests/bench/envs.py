"""How fast environments draw and step: frames and simulator steps per CPU second, drawing processes included."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import psutil

from worldgrid.envs import ENVS, EnvSpec

ROUNDS, LONG = 3, 0.2
"""Rounds, and the CPU seconds that each takes at least."""
FAST = {"shadows": False, "samples": 0}
SECTIONS = {
    "point, 64 px": ({"kind": "point"}, 256),
    "wall, 64 px": ({"kind": "wall"}, 256),
    "wall, 224 px": ({"kind": "wall", "size": 224}, 64),
    "pointmaze in numpy, 64 px": ({"kind": "pointmaze", "renderer": "raster"}, 256),
    "pointmaze, 64 px": ({"kind": "pointmaze"}, 64),
    "pusht, 64 px": ({"kind": "pusht"}, 64),
    "pusht, 224 px": ({"kind": "pusht", "size": 224}, 16),
    "metaworld without shadows, 64 px": ({"kind": "metaworld", "size": 64} | FAST, 16),
    "metaworld without shadows, 224 px": ({"kind": "metaworld"} | FAST, 16),
    "metaworld as the study, 224 px": ({"kind": "metaworld"}, 4),
}
"""Name -> settings, and frames of a round."""
STEPPED = ("point, 64 px", "wall, 64 px", "pointmaze, 64 px", "pusht, 64 px", "metaworld without shadows, 64 px")


def env_rows() -> dict[str, float]:
    """The figures, by what they are of."""
    rows = {}
    for name, (section, frames) in SECTIONS.items():
        env = ENVS.parse(section)
        rows[f"render {name}, frames/s"] = _drawn(env, frames)
        if name in STEPPED:
            rows[f"step {env.kind}, steps/s"] = _stepped(env)
    return rows


def _drawn(env: EnvSpec, frames: int) -> float:
    states = env.explore([0, 1]).state().repeat(frames // 2, axis=0)
    return frames / _seconds(lambda: env.render(states))


def _stepped(env: EnvSpec) -> float:
    batch = env.explore(range(8))
    actions = np.random.default_rng(0).uniform(-env.action_limit, env.action_limit, (8, env.action_dim))
    return 8 * 20 / _seconds(lambda: [batch.step(actions) for _ in range(20)])


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds, the median of some rounds after one to warm up; each long enough to be measured."""
    work()
    taken = []
    for _ in range(ROUNDS):
        began, times = _clock(), 0
        while (spent := _clock() - began) < LONG:
            work()
            times += 1
        taken.append(spent / times)
    return statistics.median(taken)


def _clock() -> float:
    """CPU seconds of this process and those it started; of these in steps of 10 ms."""
    spent = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(times.user + times.system for times in spent)
