"""Work on numbered shards, here or on workers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worldgrid.stages.spread import spread


def noting(folder: Path) -> Callable[[], Callable[[int], int]]:
    """Makes work that leaves a file with the number of its process."""

    def make() -> Callable[[int], int]:
        def work(shard: int) -> int:
            (folder / str(shard)).write_text(str(os.getpid()))
            return shard

        return work

    return make


def test_little_work_is_done_here(tmp_path: Path) -> None:
    assert spread(noting(tmp_path), [3, 5], seconds=0.1, cpus=1) == 8
    assert {path.read_text() for path in tmp_path.iterdir()} == {str(os.getpid())}


def test_one_shard_is_done_here_however_long_it_takes(tmp_path: Path) -> None:
    assert spread(noting(tmp_path), [3], seconds=1e6, cpus=1) == 3
    assert (tmp_path / "3").read_text() == str(os.getpid())


def test_nothing_to_do_prepares_nothing() -> None:
    def make() -> Callable[[int], int]:
        raise AssertionError

    assert spread(make, [], seconds=0, cpus=1) == 0


@pytest.mark.ray
def test_much_work_is_done_once_by_workers(cluster: None, tmp_path: Path) -> None:
    assert spread(noting(tmp_path), range(6), seconds=1e6, cpus=1) == 15
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3", "4", "5"}
    assert str(os.getpid()) not in {path.read_text() for path in tmp_path.iterdir()}


@pytest.mark.ray
def test_a_shard_whose_worker_died_is_done_again(cluster: None, tmp_path: Path) -> None:
    def make() -> Callable[[int], int]:
        def work(shard: int) -> int:
            if shard == 1 and not (tmp_path / "died").exists():
                (tmp_path / "died").touch()
                os._exit(1)
            return shard

        return work

    assert spread(make, range(4), seconds=1e6, cpus=1) == 6


GPUS = """
import os, sys
from pathlib import Path
import ray
from worldgrid.cli import quiet
from worldgrid.stages.spread import spread

quiet()
ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
folder = Path(sys.argv[1])

def make():
    (folder / f"made-{os.getpid()}").touch()
    return lambda shard: (folder / f"{shard}-{os.getpid()}").touch() or shard

print(spread(make, range(6), seconds=0.0, cpus=0.5, gpus=1))
"""


@pytest.mark.ray
def test_a_worker_on_a_gpu_is_prepared_once_for_all_its_shards(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    plain["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", GPUS, str(tmp_path)]
    said = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == "15"
    workers = {path.name.partition("-")[2] for path in tmp_path.glob("made-*")}
    shards = [path.name.split("-") for path in tmp_path.iterdir() if not path.name.startswith("made")]
    assert sorted(shard for shard, _ in shards) == ["0", "1", "2", "3", "4", "5"]
    assert len(workers) <= 2
    assert {worker for _, worker in shards} <= workers - {str(os.getpid())}
