"""The store: a step is committed once, whole or not at all, and never touched again."""

import hashlib
import json
import multiprocessing
import pickle
import signal
import subprocess
import sys
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


def finished(store: Store) -> Path:
    """The folder of a step with two files."""
    folder = store.workspace(STEP.key)
    write_whole(folder / "frames", b"many frames")
    write_whole(folder / "parts" / "0", b"one part")
    store.commit(STEP, {}, seconds=1.0, host=HOST)
    return folder


def test_a_commit_knows_every_file_by_its_content(store: Store) -> None:
    folder = finished(store)
    (folder / ".hidden").write_bytes(b"")
    done = store.done(STEP.key)
    assert done is not None
    assert done.files["frames"] == {"bytes": 11, "sha256": hashlib.sha256(b"many frames").hexdigest()}
    assert sorted(done.files) == ["frames", "parts/0"]
    assert store.size(STEP.key) == 11 + 8


def test_files_that_are_as_they_were_committed_are_sound(store: Store) -> None:
    finished(store)
    store.verify(STEP.key)


@pytest.mark.parametrize("content", [b"many frame", b"many flames"], ids=["truncated", "changed"])
def test_a_damaged_file_gets_one_line_that_names_it(store: Store, content: bytes) -> None:
    path = finished(store) / "frames"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"/frames: damaged \(its SHA-256 is another\); move the folder away"):
        store.verify(STEP.key)


def test_a_missing_file_gets_one_line_that_names_it(store: Store) -> None:
    (finished(store) / "parts" / "0").unlink()
    with pytest.raises(ConfigError, match="/parts/0: missing; move the folder away to run the step again"):
        store.verify(STEP.key)


def test_commits_from_before_files_were_known_are_taken_as_they_are(store: Store) -> None:
    path = finished(store) / DONE
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "files"}
    path.write_text(json.dumps(older))
    store.verify(STEP.key)


def test_a_step_is_claimed_by_one_process_at_a_time(store: Store) -> None:
    claim = store.claim(STEP.key)
    assert claim is not None
    assert store.claim(STEP.key) is None
    claim.close()
    again = store.claim(STEP.key)
    assert again is not None
    again.close()


def test_a_claim_ends_with_its_process_however_it_ends(store: Store) -> None:
    code = f"import os, signal; from worldgrid.store import Store; Store({str(store.root)!r}).claim({STEP.key!r})"
    held = subprocess.run([sys.executable, "-c", f"{code}; os.kill(os.getpid(), signal.SIGKILL)"], check=False)
    assert held.returncode == -signal.SIGKILL
    claim = store.claim(STEP.key)
    assert claim is not None
    claim.close()


def test_a_disk_that_is_full_leaves_no_half_of_a_file_and_nothing_committed(store: Store) -> None:
    finished(store)
    code = (
        "import resource, signal; from worldgrid.store import Store, write_whole; from worldgrid.step import Step; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        f"write_whole(Store({str(store.root)!r}).workspace('train-0123456789ab') / 'weights', bytes(10_000))"
    )
    full = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "File too large" in full.stderr
    assert list(store.folder("train-0123456789ab").iterdir()) == []
    store.verify(STEP.key)


def test_a_clock_that_jumps_changes_no_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = finished(store) / DONE
    before = first.read_bytes()
    monkeypatch.setattr("time.time", lambda: 0.0)
    store.commit(STEP, {"loss": 1.0}, seconds=-5.0, host=HOST)
    assert first.read_bytes() == before


def test_a_step_that_is_removed_is_unfinished(store: Store) -> None:
    finished(store)
    store.remove(STEP.key)
    assert store.done(STEP.key) is None
    assert store.every_key() == []


def test_only_folders_named_by_keys_are_steps(store: Store) -> None:
    finished(store)
    (store.root / "mlflow").mkdir()
    (store.root / "grids").mkdir()
    assert store.every_key() == [STEP.key]
