"""Encoding recorded frames."""

from pathlib import Path

import numpy as np
import pytest

from worldgrid.envs import ENVS
from worldgrid.latents import Latents
from worldgrid.scale import Scale
from worldgrid.stages import Job, encode, spread
from worldgrid.stages.collect import read, record
from worldgrid.stages.encode import batches
from worldgrid.step import Step
from worldgrid.trajectories import Trajectories, shard_name, write_manifest

ENV = {"kind": "point", "size": 16}


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trajectories")
    collect = read({"episodes": 5, "steps": 20, "keep": 5, "shard": 3}, "collect")
    for shard in range(2):
        record(ENVS.parse(ENV), collect, shard, folder / shard_name(shard))
    write_manifest(folder, shards=2, keep=5, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    return folder


def job(trajectories: Path, out: Path, **settings: object) -> Job:
    step = Step("encode", 1, {"env": ENV, "encoder": {"kind": "state"}, "encode": settings})
    out.mkdir(exist_ok=True)
    return Job(step, {"trajectories": trajectories}, out, Scale())


def encoded(trajectories: Path, out: Path, **settings: object) -> Latents:
    encode.run(job(trajectories, out, **settings))
    return Latents(out)


def test_every_frame_is_encoded_once_and_in_its_place(trajectories: Path, tmp_path: Path) -> None:
    latents = encoded(trajectories, tmp_path, dtype="float32")
    whole = latents.read(latents.starts(np.arange(5), 5, 1), 5, 1)
    source = [trajectory for shard in Trajectories(trajectories) for trajectory in shard]
    np.testing.assert_allclose(whole.latents[:, :, 0], np.stack([one.states for one in source]), rtol=1e-6)
    np.testing.assert_array_equal(whole.actions[:, :-1].reshape(5, 20, 2), np.stack([one.actions for one in source]))


def test_half_precision_is_the_default_and_close(trajectories: Path, tmp_path: Path) -> None:
    half = encoded(trajectories, tmp_path / "half")
    full = encoded(trajectories, tmp_path / "full", dtype="float32")
    starts = half.starts(np.arange(5), 1, 1)
    first, second = (one.read(starts, 1, 1).latents for one in (half, full))
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first, second, rtol=2**-10)


def test_the_batch_is_no_part_of_what_an_identity_encodes(trajectories: Path, tmp_path: Path) -> None:
    one, other = (encoded(trajectories, tmp_path / str(batch), batch=batch) for batch in (1, 7))
    starts = one.starts(np.arange(5), 2, 1)
    np.testing.assert_array_equal(one.read(starts, 2, 1).latents, other.read(starts, 2, 1).latents)


def test_frames_are_cut_into_batches_across_trajectories() -> None:
    parts = [np.arange(0, 5), np.arange(5, 6), np.arange(6, 14)]
    assert [part.tolist() for part in batches(parts, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]


def test_every_frame_goes_through_the_encoder_once(trajectories: Path, tmp_path: Path) -> None:
    metrics = encode.run(job(trajectories, tmp_path))
    assert metrics == {"frames": 25, "encodings_per_frame": 1.0, "patches": 1, "width": 2}


def test_frames_of_a_shard_that_was_broken_off_are_counted_again(trajectories: Path, tmp_path: Path) -> None:
    encode.run(job(trajectories, tmp_path))
    (tmp_path / "latents-00001.npy").unlink()  # as if the process had died before the shard was whole
    assert encode.run(job(trajectories, tmp_path))["encodings_per_frame"] == (25 + 10) / 25


@pytest.mark.ray
def test_workers_encode_what_one_process_encodes(
    cluster: None, trajectories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = encode.run(job(trajectories, tmp_path / "alone"))
    monkeypatch.setattr(spread, "START_UP", -1.0)
    assert encode.run(job(trajectories, tmp_path / "spread")) == alone
    for path in (tmp_path / "alone").glob("*.npy"):
        assert (tmp_path / "spread" / path.name).read_bytes() == path.read_bytes()
