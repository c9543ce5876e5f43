"""Grids beside published numbers."""

import csv
import io
from pathlib import Path

from tests.test_verdicts import grid
from worldgrid.reference import Published, read_reference
from worldgrid.results import Grid
from worldgrid.store import Store
from worldgrid.study import beside, write

REFERENCE = Path(__file__).parents[1] / "experiments" / "paper" / "reference.csv"


def final(env: str = "wall") -> Grid:
    """The study's final recipe, with two planners."""
    made = grid("planner", {"cem": 0.9, "gd": 0.1}, env=env)
    for one in made.trials:
        one.settings["predictor"]["proprio"] = "feature"
        one.settings["train"]["rollout"] = 2
    return made


def published() -> list[Published]:
    return read_reference(REFERENCE)


def test_a_trial_stands_beside_the_number_that_asks_the_same() -> None:
    rows = beside([final()], published())
    assert [(row.name, row.published.value, len(row.trials)) for row in rows] == [
        ("wall, ours, cem l2", 78.8, 2),
        ("wall, ours, gd l2", 1.1, 2),
    ]


def test_another_recipe_stands_beside_nothing() -> None:
    assert beside([grid("planner", {"cem": 0.9, "gd": 0.1})], published()) == []


def test_a_place_the_study_does_not_have_stands_beside_nothing() -> None:
    assert beside([final(env="point")], published()) == []


def test_the_page_holds_verdicts_numbers_and_says_that_it_is_small(tmp_path: Path) -> None:
    page = write(Store(tmp_path), "made", [final()], published()).read_text()
    for said in ("reproduced", "78.8", "<svg", "At small scale", "Table 1"):
        assert said in page


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = write(Store(tmp_path), "made", [final()], published()).read_text()
    assert "http" not in page.replace("http-equiv", "")


def test_the_verdicts_are_a_table_too(tmp_path: Path) -> None:
    folder = write(Store(tmp_path), "made", [final()], published()).parent
    rows = list(csv.DictReader(io.StringIO((folder / "findings.csv").read_text())))
    assert {row["finding"] for row in rows} == {str(number) for number in range(1, 13)}
    assert any(row["claim_verdict"] == "reproduced" and float(row["low"]) > 0 for row in rows)
    assert "| 12 |" in (folder / "findings.md").read_text()
