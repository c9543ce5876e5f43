"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

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
