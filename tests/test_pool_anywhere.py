"""The same episode table wherever it is played: on any number of workers, whatever happens to them."""

import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from worldgrid.store import Store

from .test_pool import new_pool, worker_pids
from .worlds import exact_evaluation, play_alone, table_bytes, untrained_evaluation

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "wall": {"env": {"kind": "wall"}},
    "pointmaze": {"env": {"kind": "pointmaze"}},
    "metaworld": {"env": {"kind": "metaworld", "size": 64, "shadows": False, "samples": 0}},
}
EVALUATE: dict[str, Any] = {"episodes": 12, "batch": 2, "seed": 1}
KILLS, EPISODES = 200, 2000


def play_on(workers: int, store: Store, settings: dict[str, Any], **scale: Any) -> bytes:
    step = untrained_evaluation(store, **settings)
    pool = new_pool(store, workers=(0, workers), **scale)
    ray.get(pool.play.remote(step))
    ray.kill(pool)
    return table_bytes(store, step)


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_the_table_is_the_same_to_the_bit_on_one_two_and_five_workers(cluster: None, tmp_path: Path, kind: str) -> None:
    goals = {"goals": "expert"} if kind == "metaworld" else {}
    settings = ENVIRONMENTS[kind] | {"evaluate": EVALUATE | goals}
    alone = Store(tmp_path / "alone")
    tables = {play_on(workers, Store(tmp_path / str(workers)), settings) for workers in (1, 2, 5)}
    tables.add(play_on(1, Store(tmp_path / "threads"), settings, chunks=3))
    assert tables == {play_alone(alone, untrained_evaluation(alone, **settings))}


def test_two_hundred_killed_workers_change_nothing(cluster: None, tmp_path: Path) -> None:
    settings = {"evaluate": {"episodes": EPISODES, "batch": 4, "seed": 1}}
    quiet, store = Store(tmp_path / "quiet"), Store(tmp_path / "killed")
    expected = play_alone(quiet, exact_evaluation(quiet, **settings))
    step = exact_evaluation(store, **settings)
    pool = new_pool(store, workers=(0, 4), attempts=KILLS)
    result = pool.play.remote(step)
    draw, killed = random.Random(0), 0
    while killed < KILLS:
        played = ray.get(pool.tallies.remote()).get(step.key, {"episodes": 0})["episodes"]
        pids = [pid for pid in worker_pids(pool) if psutil.pid_exists(pid)]
        if pids and played >= killed * (EPISODES - 100) // KILLS:  # spread over the whole run
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                psutil.Process(draw.choice(pids)).kill()
                killed += 1
        time.sleep(0.02)
    assert ray.get(result)["episodes"] == EPISODES
    assert table_bytes(store, step) == expected
