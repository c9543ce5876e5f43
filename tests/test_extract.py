"""Results as tables for other people's plots."""

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from worldgrid.extract import write_tables

from .synthetic import EPISODES, NAME, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make(tmp_path_factory.mktemp("store"))
    made.finish_all()
    folder = tmp_path_factory.mktemp("out")
    write_tables(made.store, NAME, folder)
    return folder


@pytest.mark.parametrize(("name", "rows"), [("trials", 8), ("choices", 4), ("episodes", 8 * EPISODES)])
def test_parquet_and_csv_hold_the_same_rows(folder: Path, name: str, rows: int) -> None:
    whole, plain = pq.read_table(folder / f"{name}.parquet"), pyarrow.csv.read_csv(folder / f"{name}.csv")
    assert (whole.num_rows, plain.num_rows) == (rows, rows)
    assert whole.column_names == plain.column_names


def test_every_episode_names_its_trial_and_its_labels(folder: Path) -> None:
    rows = pq.read_table(folder / "episodes.parquet").to_pylist()
    rate = [row["success"] for row in rows if row["planner"] == "cem" and row["train.seed"] == "0"]
    assert len(rate) == 2 * EPISODES
    assert {row["epoch"] for row in rows} == {2}


def test_every_point_of_every_curve_is_there(folder: Path) -> None:
    rows = pq.read_table(folder / "curves.parquet").to_pylist()
    assert len({row["train"] for row in rows}) == 4
    assert sum(row["metric"] == "loss" for row in rows) == 4 * 20


def test_a_grid_that_has_not_begun_has_empty_tables(tmp_path: Path) -> None:
    made = make(tmp_path / "store")
    made.ask()
    write_tables(made.store, NAME, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "episodes.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "out" / "trials.parquet").num_rows == 8
