"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.synthetic import NAME, MadeUp, make
from worldgrid.results import Grid, read_grid

settings.register_profile("same_every_time", deadline=None, derandomize=True, database=None)
settings.load_profile("same_every_time")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The founders' folder of golden data beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("WORLDGRID_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared/ folder beside the checkout")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A Ray cluster of two CPUs on this machine, for the whole session."""
    from worldgrid.cli import quiet  # before ray is imported

    quiet()
    import ray

    os.environ.pop("RAY_ADDRESS", None)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A store with a finished grid whose numbers were made up."""
    made = make(tmp_path_factory.mktemp("store"))
    made.finish_all()
    return made


@pytest.fixture(scope="module")
def grid(made: MadeUp) -> Grid:
    """That grid, read."""
    return read_grid(made.store, NAME)
