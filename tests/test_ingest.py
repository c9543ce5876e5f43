"""Recorded episodes from outside as a finished step."""

import json
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.sources.made import numbers, pictures, save
from worldgrid import cli, ingest
from worldgrid.grid import make_grid
from worldgrid.places import Place, find
from worldgrid.sources import SOURCES, Contents, Recording, SourceSpec, align
from worldgrid.spec import ConfigError
from worldgrid.store import Store
from worldgrid.trajectories import Trajectories, Trajectory

LENGTHS = [6, 4, 5, 7]
GRID = """
base:
  env:       {{kind: wall, size: 16, frameskip: 1}}
  encoder:   {{kind: state}}
  collect:   {section}
  train:     {{frames: {frames}}}
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A made-up PointMaze whose third recording is damaged. Four numbers of state: no wall's."""
    folder = tmp_path / "released"
    save(folder / "states.pth", numbers(4, 8, 4))
    save(folder / "actions.pth", numbers(4, 8, 2))
    save(folder / "seq_lengths.pth", np.array(LENGTHS))
    for episode, length in enumerate(LENGTHS):
        save(folder / "obses" / f"episode_{episode:03d}.pth", pictures(length, seed=episode))
    (folder / "obses" / "episode_002.pth").write_bytes(b"nothing")
    return folder


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    folder = tmp_path / "wall"
    save(folder / "states.pth", numbers(2, 5, 2))
    save(folder / "actions.pth", numbers(2, 5, 2))
    for episode in range(2):
        save(folder / "obses" / f"episode_{episode:03d}.pth", np.moveaxis(pictures(5, seed=episode), -1, 1).copy())
    return folder


def quiet(done: int, of: int) -> None:
    """Watches nothing."""


def ingested(folder: Path, store: Store, kind: str = "pointmaze", **settings: object) -> tuple[ingest.Ingested, dict]:
    """The section and the manifest of what `worldgrid ingest` leaves."""
    reader, place = SOURCES.parse({"kind": kind, "size": 16} | settings), find(str(folder))
    contents = reader.contents(place)
    section, manifest = ingest.name(reader, place, contents, quiet)
    return section, ingest.ingest(section, manifest, contents, store, quiet)


def test_what_is_usable_becomes_trajectories_and_the_rest_a_list(release: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    section, manifest = ingested(release, store)
    key = section.step().key
    found = [one for shard in Trajectories(store.folder(key)) for one in shard]
    assert [one.episode for one in found] == [0, 1, 3]
    for one in found:
        np.testing.assert_array_equal(one.frames, pictures(LENGTHS[one.episode], seed=one.episode))
    assert [one["name"] for one in manifest["skipped"]] == ["obses/episode_002.pth"]
    assert manifest["counts"] == {"episodes": 3, "frames": 17, "skipped": 1}
    assert manifest["dims"] == {"action": 2, "proprio": 4, "state": 4}
    done = store.done(key)
    assert done is not None
    assert done.metrics == manifest["counts"]
    assert done.recipe["config"]["collect"]["source"] == section.source


def test_the_key_is_the_content_of_what_is_read_and_how(release: Path, tmp_path: Path) -> None:
    def key(**settings: object) -> str:
        reader, place = SOURCES.parse({"kind": "pointmaze", "size": 16} | settings), find(str(release))
        return ingest.name(reader, place, reader.contents(place), quiet)[0].step().key

    first = key()
    (release / "readme.txt").write_text("not read")
    assert key() == first
    assert len({first, key(size=8), key(episodes=3)}) == 3
    few = key(episodes=2)
    save(release / "obses" / "episode_003.pth", pictures(7, seed=9))
    assert key() != first
    assert key(episodes=2) == few


def test_the_shards_are_small_whatever_the_source(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SHARD", 6 * 16 * 16 * 3)
    _, manifest = ingested(release, Store(tmp_path / "store"))
    assert manifest["lengths"] == [[6], [4, 7]]


def test_a_stopped_ingestion_goes_on_where_it_was(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SHARD", 1)
    _, whole = ingested(release, Store(tmp_path / "whole"))
    store, seen = Store(tmp_path / "store"), list[int]()
    reader, place = SOURCES.parse({"kind": "pointmaze", "size": 16}), find(str(release))
    contents = reader.contents(place)
    section, manifest = ingest.name(reader, place, contents, quiet)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest.ingest(section, manifest, contents, store, stop)
    assert store.done(section.step().key) is None
    again = ingest.ingest(section, manifest, contents, store, lambda done, of: seen.append(done))
    assert seen == [2, 3, 4]
    assert again == whole


def test_what_is_in_the_store_is_not_read_again(release: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    section, first = ingested(release, store)
    committed = (store.folder(section.step().key) / "done.json").read_bytes()
    assert ingested(release, store) == (section, first)
    assert (store.folder(section.step().key) / "done.json").read_bytes() == committed


class Moody(SourceSpec):
    """A reader of five recordings, of which one makes it stumble and one is on a machine that went away."""

    kind: Literal["tests.test_ingest:Moody"]
    away: bool

    def contents(self, place: Place) -> Contents:
        def load(index: int) -> Trajectory:
            if index == 1:
                raise ZeroDivisionError("stumbled")
            if index == 3 and self.away:
                raise ConfigError("cannot be reached")
            return align(index, pictures(3), numbers(3, 2), numbers(3, 2 + (index == 2)), numbers(3, 2))

        return Contents((), [Recording(f"number {index}", (), load) for index in range(5)])


def test_whatever_a_recording_makes_its_reader_raise_is_listed(tmp_path: Path) -> None:
    _, manifest = ingested(tmp_path, Store(tmp_path / "store"), "tests.test_ingest:Moody", away=False)
    assert manifest["episodes"] == [[0, 3, 4]]
    one, other = manifest["skipped"]
    assert one == {"name": "number 1", "why": "ZeroDivisionError: stumbled"}
    assert "those of the first recording are" in other["why"]


def test_a_source_that_cannot_be_reached_any_more_is_no_damaged_recording(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be reached"):
        ingested(tmp_path, Store(tmp_path / "store"), "tests.test_ingest:Moody", away=True)


def test_a_source_without_one_usable_recording_is_refused(release: Path, tmp_path: Path) -> None:
    for path in (release / "obses").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="none of 4 recordings can be used; the first one: obses/episode_000"):
        ingested(release, Store(tmp_path / "store"))


def grid_of(section: ingest.Ingested, frames: int = 4) -> str:
    return GRID.format(section=json.dumps(section.recipe()), frames=frames)


def test_a_grid_names_ingested_data_by_the_printed_section(wall: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    section, _ = ingested(wall, store, "wall")
    grid = make_grid(grid_of(section), "grid", "grid")
    assert section.step() in grid.steps()
    ingest.check_ingested(grid, store)


def test_data_that_the_store_has_not_are_refused_before_anything_runs(wall: Path, tmp_path: Path) -> None:
    section, _ = ingested(wall, Store(tmp_path / "store"), "wall")
    with pytest.raises(ConfigError, match="is not in store"):
        ingest.check_ingested(make_grid(grid_of(section), "grid", "grid"), Store(tmp_path / "other"))


def test_data_that_do_not_fit_the_trial_are_refused(wall: Path, release: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    maze, _ = ingested(release, store)
    with pytest.raises(ConfigError, match="has proprio 4; env 'wall' has proprio 2"):
        ingest.check_ingested(make_grid(grid_of(maze), "grid", "grid"), store)
    section, _ = ingested(wall, store, "wall")
    with pytest.raises(ConfigError, match="at most 5 frames"):
        ingest.check_ingested(make_grid(grid_of(section, frames=6), "grid", "grid"), store)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["worldgrid", "ingest", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(str(end.value.code))


def test_the_command_prints_what_was_skipped_and_how_a_grid_names_the_data(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = str(release), "size=16", "--kind", "pointmaze", "--store", str(tmp_path / "store")
    assert command(monkeypatch, *words) == 1
    said = capsys.readouterr().out
    assert "skipped obses/episode_002.pth: no file of a tensor" in said
    assert "1 of 4 recordings skipped, more than --skip 0.05 allows" in said
    section = json.loads(said.split("collect: ")[1].splitlines()[0])
    assert Store(tmp_path / "store").done(ingest.Ingested(**section).step().key)
    assert command(monkeypatch, *words, "--skip", "0.5") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "pointmase"), "unknown source 'pointmase'; did you mean 'pointmaze'?"),
        (("--kind", "pointmaze", "sise=16"), "PointMaze has no 'sise'; did you mean 'size'?"),
        (("--kind", "pointmaze", "16"), "override '16'"),
        (("--kind", "wall"), "frames"),
    ],
)
def test_a_wrong_command_is_one_line(
    release: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "store"
    assert command(monkeypatch, str(release), *words, "--store", str(store)) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
