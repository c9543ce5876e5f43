"""What every reader does, whatever its layout."""

from pathlib import Path

import numpy as np
import pytest

from tests.sources.made import numbers, pictures
from worldgrid.places import find
from worldgrid.sources import SOURCES, CorruptError, align
from worldgrid.spec import ConfigError

every_kind = pytest.mark.parametrize("kind", SOURCES.members)


@every_kind
def test_a_folder_of_something_else_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(ConfigError) as refusal:
        SOURCES.parse({"kind": kind}).contents(find(str(tmp_path)))
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@every_kind
def test_every_setting_is_in_the_recipe(kind: str) -> None:
    reader = SOURCES.parse({"kind": kind, "size": 32, "episodes": 3})
    assert SOURCES.parse(reader.recipe()) == reader


def test_a_recording_ends_with_its_last_frame_that_was_measured() -> None:
    for drawn, measured in ((5, 5), (4, 5), (5, 4)):
        found = align(7, pictures(drawn), numbers(measured, 2), numbers(measured, 3), numbers(measured, 2))
        kept = min(drawn, measured)
        assert [len(part) for part in found[1:]] == [kept, kept, kept, kept - 1]
        assert found.episode == 7


@pytest.mark.parametrize(
    ("drawn", "measured", "acted", "said"),
    [(3, 5, 5, "3 frames for 5 states"), (1, 1, 1, "1 frames"), (5, 5, 3, "3 actions for 5 frames")],
)
def test_what_does_not_belong_together_is_corrupt(drawn: int, measured: int, acted: int, said: str) -> None:
    with pytest.raises(CorruptError, match=said):
        align(0, pictures(drawn), numbers(measured, 2), numbers(measured, 3), numbers(acted, 2))


def test_a_number_that_is_none_is_corrupt() -> None:
    states = numbers(5, 3)
    states[2, 1] = np.nan
    with pytest.raises(CorruptError, match="NaN"):
        align(0, pictures(5), numbers(5, 2), states, numbers(5, 2))
