"""Bytes that steps take, known beforehand."""

from pathlib import Path

import pytest
from rich.console import Console

from worldgrid import console
from worldgrid.grid import Grid, make_grid
from worldgrid.sizes import room, step_bytes
from worldgrid.stages import Job, collect, encode
from worldgrid.step import Step
from worldgrid.store import Store

GRID = """
base:
  env:       {kind: wall, size: 16}
  encoder:   {kind: pixels, patch: 4}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none}
  collect:   {episodes: 6, steps: 50, keep: 5, shard: 3}
  train:     {epochs: 3, publish: 2, frames: 3}
  mpc:       {context: 1}
"""


@pytest.fixture
def grid() -> Grid:
    return make_grid(GRID, "grid", "grid")


def step_of(grid: Grid, stage: str) -> Step:
    (found,) = {step for step in grid.steps() if step.stage == stage}
    return found


def test_what_is_written_is_at_most_what_was_said_and_latents_are_that_much(grid: Grid, tmp_path: Path) -> None:
    store, made = Store(tmp_path), {}
    for stage in (collect, encode):
        step = step_of(grid, stage.__name__.rpartition(".")[2])
        made[step.stage] = said, job = step_bytes(step, store), Job.open(step, store, grid.scale)
        store.commit(step, stage.run(job), 0.0, {})
        assert step_bytes(step, store) <= 1.1 * said + 20_000  # headers, manifest, index
    assert made["collect"][0] > 66 * 16 * 16 * 3
    latents = sum(path.stat().st_size for path in made["encode"][1].out.glob("latents-*.npy"))
    assert latents - 2 * 128 == 66 * 16 * 3 * 2  # two shards' headers; 11 frames of 6 episodes, 16 patches, 3 colours


def test_a_training_writes_its_published_checkpoints(grid: Grid, tmp_path: Path) -> None:
    step = step_of(grid, "train")
    assert step_bytes(step, Store(tmp_path)) % 2 == 0  # epochs 2 and 3
    whole = make_grid(GRID.replace("publish: 2", "publish: 1"), "grid", "grid")
    assert step_bytes(step_of(whole, "train"), Store(tmp_path)) == 3 * step_bytes(step, Store(tmp_path)) // 2


def test_there_is_room_where_a_store_will_be(tmp_path: Path) -> None:
    assert room(Store(tmp_path / "not" / "yet")) == pytest.approx(room(Store(tmp_path)), rel=0.1)


def shown(grid: Grid, store: Store) -> str:
    paper = Console(width=160)
    with paper.capture() as said:
        console.show_grid(grid, store, paper)
    return said.get()


def test_show_warns_of_a_disk_that_is_too_small(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "to write, at most" in shown(grid, Store(tmp_path))
    assert "left; these steps may write" not in shown(grid, Store(tmp_path))
    monkeypatch.setattr(console, "room", lambda store: 1000)
    assert "has 1.0 kB left; these steps may write" in shown(grid, Store(tmp_path))
