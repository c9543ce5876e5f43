"""A store on S3: the same promises as on disk, on several machines, with a server that is at times not there."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from worldgrid import bucket
from worldgrid.spec import ConfigError
from worldgrid.step import Step
from worldgrid.store import CACHE, Store, gather, write_once, write_whole

from .buckets import NAME, Door, served

STEP = Step("collect", 1, {"episodes": 2, "seed": 0})
OTHER = Step("collect", 1, {"episodes": 2, "seed": 1})
HOST = {"machine": "here"}


@pytest.fixture(scope="module")
def server() -> Iterator[Door]:
    with served() as door:
        yield door


@pytest.fixture
def door(server: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The server, without what the test before left."""
    yield server
    server.failing = server.dropping = server.cutting = 0
    server.strip = ""
    client = boto3.client("s3")
    for found in client.list_objects_v2(Bucket=NAME).get("Contents", ()):
        client.delete_object(Bucket=NAME, Key=found["Key"])


def machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store as it looks from a machine of that name, which shares no disk with another."""
    monkeypatch.setenv(CACHE, str(tmp_path / name))
    return Store(f"s3://{NAME}/prefix")


def names() -> list[str]:
    return [found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=NAME).get("Contents", ())]


def finish(store: Store, step: Step, **files: bytes) -> None:
    folder = store.workspace(step.key)
    for name, content in files.items():
        write_whole(folder / name, content)
    store.commit(step, {"frames": 22}, 1.0, HOST)


def test_a_step_finished_on_one_machine_is_finished_on_another_with_its_files(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    assert there.done(STEP.key) is None
    finish(here, STEP, frames=b"many", index=b"1")
    time.sleep(bucket._LISTED_SECONDS)
    assert there.done(STEP.key) == here.done(STEP.key)
    assert (there.folder(STEP.key) / "frames").read_bytes() == b"many"
    assert here.root != there.root


def test_only_files_that_are_asked_for_are_brought(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    finish(here, STEP, frames=b"many", index=b"1")
    folder = there.folder(STEP.key, "ind*")
    assert (folder / "index").exists()
    assert not (folder / "frames").exists()


def test_of_two_clusters_that_make_a_step_the_second_uses_what_the_first_made(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    for store, content in ((first, b"of the first"), (second, b"of another")):
        write_whole(store.workspace(STEP.key) / "weights", content)
    won = first.commit(STEP, {"loss": 1.0}, 1.0, HOST)
    assert second.commit(STEP, {"loss": 2.0}, 2.0, HOST) == won
    assert (second.folder(STEP.key) / "weights").read_bytes() == b"of the first"
    assert [name for name in names() if "weights" in name] == [
        f"prefix/{STEP.key}/weights@{won.files['weights']['sha256']}"
    ]


def test_what_an_interrupted_run_left_is_found_by_the_next_machine(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    resume = here.workspace(STEP.key) / "resume"
    write_whole(resume, b"epoch 1")
    assert (there.workspace(STEP.key) / "resume").read_bytes() == b"epoch 1"
    write_whole(resume, b"epoch 2")
    assert (there.workspace(STEP.key) / "resume").read_bytes() == b"epoch 2"
    assert [name for name in names() if "resume" in name] != []


def test_a_file_written_here_is_not_replaced_by_an_older_one_from_there(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    write_whole(here.workspace(STEP.key) / "curve", b"1\n")
    mine = there.workspace(STEP.key) / "curve"
    write_whole(mine, b"1\n2\n")
    with mine.open("ab") as growing:
        growing.write(b"3\n")
    assert (there.workspace(STEP.key) / "curve").read_bytes() == b"1\n2\n3\n"


def test_chunks_of_several_machines_come_together(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [machine(name, tmp_path, monkeypatch) for name in ("a", "b", "c")]
    for index, store in enumerate(machines):
        write_once(store.workspace(STEP.key) / "chunks" / f"{index}.parquet", bytes([index]))
    folder = machines[0].root / STEP.key
    gather(folder)
    assert sorted(path.name for path in (folder / "chunks").glob("*.parquet")) == [f"{i}.parquet" for i in range(3)]


def test_a_damaged_object_is_not_read(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    finish(here, STEP, weights=b"good")
    damaged = next(name for name in names() if "weights" in name)
    boto3.client("s3").put_object(Bucket=NAME, Key=damaged, Body=b"evil")
    with pytest.raises(ConfigError, match=r"weights@.*: damaged .*; remove done/.* to run it again"):
        there.folder(STEP.key)
    assert not (there.root / STEP.key / "weights").exists()


def test_errors_of_the_server_are_asked_again(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = machine("a", tmp_path, monkeypatch)
    write_whole(store.workspace(STEP.key) / "weights", b"good")
    door.failing = 3
    store.commit(STEP, {}, 1.0, HOST)
    assert door.failing == 0
    assert store.done(STEP.key) is not None


def test_connections_that_are_closed_and_answers_that_break_off_are_asked_again(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    door.dropping = 2
    finish(here, STEP, weights=b"good" * 1000)
    door.cutting = 3
    assert (there.folder(STEP.key) / "weights").read_bytes() == b"good" * 1000
    assert there.done(STEP.key) == here.done(STEP.key)
    assert (door.dropping, door.cutting) == (0, 0)


def test_a_commit_whose_answer_was_lost_is_a_commit(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a", tmp_path, monkeypatch)
    assert store._bucket is not None
    store._bucket.put_once(f"done/{STEP.key}.json", b"ours")  # it got there; botocore asks again
    assert store._bucket.commit(STEP.key, b"ours") == b"ours"


def test_a_server_that_stays_away_is_told_from_an_error(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_ATTEMPTS", 1)
    store = machine("never", tmp_path, monkeypatch)
    door.failing = 100
    with pytest.raises(bucket.AwayError, match=r"store s3://studies/prefix: its server does not answer: 503"):
        store.done(STEP.key)
    door.failing = 0
    door.shut()
    with pytest.raises(bucket.AwayError, match="its server does not answer"):
        store.done(STEP.key)
    door.open()
    assert store.done(STEP.key) is None


def test_a_server_that_goes_away_and_comes_back_loses_nothing(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a", tmp_path, monkeypatch)
    folder = store.workspace(STEP.key)
    door.shut()
    threading.Timer(2.0, door.open).start()
    write_whole(folder / "weights", b"good")
    store.commit(STEP, {}, 1.0, HOST)
    assert (machine("b", tmp_path, monkeypatch).folder(STEP.key) / "weights").read_bytes() == b"good"


def test_large_files_go_in_parts(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "_PART", 5 * 2**20)
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    content = os.urandom(12 * 2**20)
    door.requests.clear()
    finish(here, STEP, latents=content)
    assert sum("partNumber=" in line for line in door.requests) == 3
    assert (there.folder(STEP.key) / "latents").read_bytes() == content


def test_a_bucket_that_is_not_there_is_one_line(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    with pytest.raises(ConfigError, match=r"^store s3://nobody: cannot be written: .*NoSuchBucket"):
        Store("s3://nobody").prepare()


def test_a_server_that_commits_twice_is_refused(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door.strip = "If-None-Match"
    with pytest.raises(ConfigError, match="ignores `If-None-Match`"):
        machine("a", tmp_path, monkeypatch).prepare()


def test_a_store_that_keeps_its_word_is_prepared_and_left_as_it_was(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("a", tmp_path, monkeypatch).prepare()
    assert names() == []


def test_finished_steps_that_nobody_reads_leave_a_full_mirror(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bucket.CACHE_GB, "1e-6")
    first = machine("a", tmp_path, monkeypatch)
    finish(first, STEP, frames=bytes(2000))
    first.folder(STEP.key)
    for mark in first._bucket._reading.values():  # as when the process that read it has ended
        mark.close()
    finish(first, OTHER, frames=bytes(100))
    assert not (first.root / STEP.key).exists()
    assert (first.folder(STEP.key) / "frames").read_bytes() == bytes(2000)


def test_finished_steps_are_listed_with_one_request(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a", tmp_path, monkeypatch)
    steps = [Step("train", 1, {"seed": seed}) for seed in range(20)]
    time.sleep(bucket._LISTED_SECONDS)
    door.requests.clear()
    assert [store.done(step.key) for step in steps] == [None] * 20
    assert len(door.requests) == 1


def test_a_grids_record_is_found_on_another_machine(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    write_whole(here.root / "grids" / "paper.json", b"{}")
    assert there.names("grids") == ["paper.json"]
    assert json.loads(there.file("grids", "paper.json").read_text()) == {}


def test_a_removed_step_is_gone_everywhere(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (machine(name, tmp_path, monkeypatch) for name in ("a", "b"))
    finish(here, STEP, frames=b"many")
    here.remove(STEP.key)
    assert names() == []
    assert there.done(STEP.key) is None
