"""Recording episodes."""

import json
from pathlib import Path

import numpy as np
import pytest

from worldgrid.envs import ENVS
from worldgrid.policies import POLICIES
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError
from worldgrid.stages import Job, collect, spread
from worldgrid.stages.collect import explore, read, record
from worldgrid.step import Step
from worldgrid.trajectories import Trajectories, Trajectory, write_manifest

ENV = {"kind": "point", "size": 16}
SETTINGS = {"episodes": 6, "steps": 11, "keep": 2, "shard": 4, "policy": {"kind": "uniform"}}


def recorded(episodes: range, **changes: object) -> list[Trajectory]:
    settings = read(SETTINGS | changes, "collect")
    return explore(ENVS.parse(ENV), POLICIES.parse(settings.policy), settings, episodes)


def test_frames_are_kept_every_so_many_steps_and_the_actions_between_them() -> None:
    (one, *_) = recorded(range(1))
    assert one.frames.shape == (6, 16, 16, 3)
    assert one.actions.shape == (10, 2)
    assert len(one.states) == len(one.proprio) == 6


def test_recorded_actions_lead_from_each_recorded_state_to_the_next() -> None:
    (one, *_) = recorded(range(1))
    moved = one.actions.reshape(5, 2, 2).sum(axis=1)
    inside = (one.states[1:] > 0) & (one.states[1:] < 1) & (one.states[:-1] > 0) & (one.states[:-1] < 1)
    np.testing.assert_allclose(np.diff(one.states, axis=0)[inside], moved[inside], atol=1e-6)


def test_an_episode_is_recorded_the_same_alone_and_in_a_batch() -> None:
    (alone,) = recorded(range(3, 4))
    together = recorded(range(5))[3]
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_records_other_episodes() -> None:
    assert not np.array_equal(recorded(range(1))[0].states, recorded(range(1), seed=1)[0].states)


def test_shards_cut_the_episodes_without_changing_them(tmp_path: Path) -> None:
    for shard in range(2):
        record(ENVS.parse(ENV), read(SETTINGS, "collect"), shard, tmp_path / f"shard-{shard:05d}.parquet")
    write_manifest(tmp_path, shards=2, keep=2, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    found = [trajectory for shard in Trajectories(tmp_path) for trajectory in shard]
    assert [trajectory.episode for trajectory in found] == list(range(6))
    for one, other in zip(found, recorded(range(6)), strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)


def test_the_settings_of_the_policy_are_part_of_the_recipe() -> None:
    assert read({"policy": {"kind": "drift"}}, "collect").policy["turn"] > 0
    with pytest.raises(ConfigError, match=r"collect\.policy"):
        read({"policy": {"kind": "drift", "trun": 1}}, "collect")


def job(out: Path) -> Job:
    config = {"env": ENV, "collect": read(SETTINGS | {"shard": 1}, "collect").recipe()}
    return Job(Step("collect", 1, config), {}, out, Scale(cpus=0.5))


@pytest.mark.ray
def test_workers_record_what_one_process_records(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = collect.run(job(tmp_path / "alone"))
    monkeypatch.setattr(spread, "START_UP", -1.0)
    assert collect.run(job(tmp_path / "spread")) == alone
    one, other = (Trajectories(tmp_path / name).manifest for name in ("alone", "spread"))
    assert one == other
    assert one["counts"] == {"episodes": 6, "frames": 36, "skipped": 0}


def test_shards_of_an_interrupted_run_are_kept(tmp_path: Path) -> None:
    collect.run(job(tmp_path))
    whole = (tmp_path / "manifest.json").read_bytes()
    kept = {
        path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*") if not path.name.endswith("3.parquet")
    }
    (tmp_path / "shard-00003.parquet").unlink()
    (tmp_path / "manifest.json").unlink()
    collect.run(job(tmp_path))
    assert (tmp_path / "manifest.json").read_bytes() == whole
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept


def test_the_manifest_tells_the_statistics_of_what_was_recorded(tmp_path: Path) -> None:
    collect.run(job(tmp_path))
    said = json.loads((tmp_path / "manifest.json").read_text())["statistics"]
    actions = np.concatenate([one.actions for one in recorded(range(6))]).astype(np.float64)
    np.testing.assert_allclose(said["actions"]["mean"], actions.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(said["actions"]["std"], actions.std(axis=0), rtol=1e-6)
