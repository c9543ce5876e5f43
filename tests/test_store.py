"""The store: a step is committed once, whole or not at all, and never touched again."""

import hashlib
import json
import multiprocessing
import pickle
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from worldgrid.spec import ConfigError
from worldgrid.step import Step
from worldgrid.store import DONE, Store, file_digest, write_once, write_whole

STEP = Step("collect", 1, {"episodes": 2, "seed": 0})
HOST = {"machine": "here"}
ROUNDS = 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def race(folder: Path, barrier: Barrier, mark: bytes) -> None:
    """Write the same files as another process at the same time, and keep a list of who won."""
    won = []
    for number in range(ROUNDS):
        barrier.wait(timeout=60)
        won.append(write_once(folder / f"{number}.json", mark * 100_000))
    (folder / f"won-{mark.decode()}").write_text(json.dumps(won))


def test_a_step_is_unfinished_until_it_is_committed(store: Store) -> None:
    (store.workspace(STEP.key) / "half.bin").write_bytes(b"half")
    assert store.done(STEP.key) is None


def test_a_step_nobody_began_is_unfinished(store: Store) -> None:
    assert store.done(STEP.key) is None


def test_a_commit_says_what_the_step_was_and_what_came_out(store: Store) -> None:
    done = store.commit(STEP, {"frames": 22}, seconds=1.5, host=HOST)
    assert done == store.done(STEP.key)
    assert (done.key, done.recipe, done.metrics, done.seconds, done.host) == (
        STEP.key,
        STEP.recipe,
        {"frames": 22},
        1.5,
        HOST,
    )


def test_a_commit_lies_in_the_folder_named_by_the_key(store: Store) -> None:
    store.commit(STEP, {}, seconds=1.0, host=HOST)
    assert [path.name for path in store.folder(STEP.key).iterdir()] == [DONE]
    assert store.folder(STEP.key).name == STEP.key


def test_who_commits_second_gets_the_first_commit(store: Store) -> None:
    first = store.commit(STEP, {"loss": 1.0}, seconds=1.0, host=HOST)
    assert store.commit(STEP, {"loss": 2.0}, seconds=2.0, host=HOST) == first
    assert store.done(STEP.key) == first


def test_of_two_processes_that_write_at_once_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    racers = [context.Process(target=race, args=(tmp_path, barrier, mark)) for mark in (b"a", b"b")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(timeout=120)
    a_won, b_won = (json.loads((tmp_path / f"won-{mark}").read_text()) for mark in "ab")
    assert [a + b for a, b in zip(a_won, b_won, strict=True)] == [1] * ROUNDS
    for number, a in enumerate(a_won):
        assert (tmp_path / f"{number}.json").read_bytes() == (b"a" if a else b"b") * 100_000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"key": "x", "colour": "red"}', b"\xff\xfe"], ids=repr)
def test_a_damaged_commit_gets_one_line_that_names_the_file(store: Store, content: bytes) -> None:
    path = store.workspace(STEP.key) / DONE
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        store.done(STEP.key)
    line = str(error.value)
    assert line.startswith(f"{path}: damaged (")
    assert line.endswith("; move the folder away to run it again")
    assert "\n" not in line


def test_a_store_that_can_be_written_is_made(store: Store) -> None:
    store.prepare()
    store.prepare()
    assert list(store.root.iterdir()) == []


def test_a_store_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"store .*/file/store: cannot be written: Not a directory$"):
        Store(tmp_path / "file" / "store").prepare()


def test_a_store_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"store .*/store: cannot be written: File exists$"):
        Store(tmp_path / "store").prepare()


def test_a_store_is_the_same_in_another_process(store: Store) -> None:
    assert pickle.loads(pickle.dumps(store)).root == store.root


def test_a_store_named_from_here_stays_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("store")
    monkeypatch.chdir("/")
    assert store.root == tmp_path / "store"


def test_writing_once_leaves_an_older_file_alone(tmp_path: Path) -> None:
    assert write_once(tmp_path / "a", b"first")
    assert not write_once(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_writing_whole_replaces_an_older_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"first")
    write_whole(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"


def test_writing_leaves_no_other_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "a", b"1")
    write_whole(tmp_path / "new" / "a", b"2")
    write_once(tmp_path / "new" / "b", b"1")
    write_once(tmp_path / "new" / "b", b"2")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b"]


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "weights") == hashlib.sha256(b"abc" * 100_000).hexdigest()
