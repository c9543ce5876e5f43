"""Published numbers."""

from pathlib import Path

import pytest

from worldgrid.reference import COLUMNS, beside, read_reference
from worldgrid.spec import ConfigError

PAPER = Path(__file__).parents[1] / "experiments" / "paper"


def test_every_published_number_has_its_source_and_a_sane_value() -> None:
    rows = read_reference(PAPER / "reference.csv")
    assert len(rows) == 194
    assert all(row.source for row in rows)
    assert all(0 <= row.value <= 100 for row in rows if row.quantity == "success_rate")
    assert all(0 < row.value < 1 for row in rows if row.quantity.startswith("spearman"))


def test_no_number_stands_twice() -> None:
    keys = [
        (row.quantity, row.environment, row.model, row.planner, row.norm)
        for row in read_reference(PAPER / "reference.csv")
    ]
    assert len(keys) == len(set(keys))


def test_the_numbers_lie_beside_the_grids_they_belong_to() -> None:
    assert [
        row.value for row in beside([PAPER / "size.yaml", PAPER / "depth.yaml"]) if row.quantity == "gpu_hours"
    ] == [5e4]
    assert beside([PAPER / "small" / "size.yaml"]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "the columns quantity, "), (",".join(COLUMNS) + "\nx,x,x,x,x,many,,x,x\n", "line 2: value 'many'")],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "reference.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_reference(tmp_path / "reference.csv")
