"""The one door for what a user wrote: what comes through, and the one line that says why something does not."""

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from worldgrid.spec import ConfigError, Family, Spec, parse, read_text, read_yaml, suggest


class Elites(Spec):
    """A section inside a section."""

    fraction: float = Field(default=0.1, gt=0, le=1)


class Search(Spec):
    """A section with a field of every sort."""

    kind: str = "search"
    samples: int = Field(default=300, ge=1)
    spread: float = 1.0
    replan: bool = True
    label: str = Field(default="plain", pattern="^[a-z]+$")
    norm: Literal["l1", "l2"] = "l2"
    box: tuple[float, float] = (-1.0, 1.0)
    elites: Elites = Elites()


class Needy(Spec):
    """A section with a field that has no default."""

    lr: float


SEARCHES = Family("planner", Search, {"search": f"{__name__}:Search", "lost": "worldgrid.nowhere:Lost"})


def refused(section: object, kind: type[Spec] = Search) -> str:
    """The line that says why a section is refused."""
    with pytest.raises(ConfigError) as error:
        parse(kind, section, "planner")
    return str(error.value)


def complaint(text: str) -> str:
    """What the door says of a YAML text; nothing when it comes through."""
    try:
        read_yaml(text, "grid.yaml")
    except ConfigError as error:
        return str(error)
    return ""


def test_a_section_becomes_a_value_with_its_defaults() -> None:
    assert parse(Search, {"samples": 64, "norm": "l1"}, "planner") == Search(samples=64, norm="l1")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"samples": "64"}, "planner.samples: given '64'; a whole number fits"),
        ({"samples": "many"}, "planner.samples: given 'many'; a whole number fits"),
        ({"samples": 64.0}, "planner.samples: given 64.0; a whole number fits"),
        ({"samples": True}, "planner.samples: given True; a whole number fits"),
        ({"samples": None}, "planner.samples: given None; a whole number fits"),
        ({"samples": 0}, "planner.samples: given 0; input should be greater than or equal to 1"),
        ({"spread": "1.0"}, "planner.spread: given '1.0'; a number fits"),
        ({"spread": math.nan}, "planner.spread: given nan; input should be a finite number"),
        ({"spread": -math.inf}, "planner.spread: given -inf; input should be a finite number"),
        ({"replan": "yes"}, "planner.replan: given 'yes'; true or false fits"),
        ({"replan": 1}, "planner.replan: given 1; true or false fits"),
        ({"label": 3}, "planner.label: given 3; text fits"),
        ({"label": "A B"}, "planner.label: given 'A B'; string should match pattern '^[a-z]+$'"),
        ({"norm": "l3"}, "planner.norm: given 'l3'; input should be 'l1' or 'l2'"),
        ({"box": 1.0}, "planner.box: given 1.0; a list fits"),
        ({"elites": 0.1}, "planner.elites: given 0.1; a section fits"),
        ({"elites": {"fraction": 2}}, "planner.elites.fraction: given 2; input should be less than or equal to 1"),
        ({"samples": "a", "spread": "b"}, "planner.samples: given 'a'; a whole number fits (and 1 more)"),
        ([1, 2], "planner: given [1, 2]; a section of settings (name: value) fits"),
        (None, "planner: given None; a section of settings (name: value) fits"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(section: object, line: str) -> None:
    assert refused(section) == line


def test_a_misspelt_field_is_answered_with_the_right_one() -> None:
    assert refused({"sampels": 64}) == "planner: Search has no 'sampels'; did you mean 'samples'?"


def test_an_unknown_field_is_answered_with_all_there_are() -> None:
    fields = "box, elites, label, norm, replan, samples, spread"
    assert refused({"zzz": 1}) == f"planner: Search has no 'zzz'; there are {fields}"


def test_a_misspelt_field_of_an_inner_section_is_answered_from_that_section() -> None:
    line = "planner.elites: Elites has no 'fracton'; did you mean 'fraction'?"
    assert refused({"elites": {"fracton": 0.2}}) == line


def test_a_missing_field_is_named() -> None:
    assert refused({}, Needy) == "planner.lr: missing"


def test_a_value_that_json_does_not_know_is_refused_with_the_place() -> None:
    assert refused({"label": Path("here")}).startswith("planner: ")


def test_a_long_value_is_shown_shortened() -> None:
    assert len(refused({"samples": "x" * 1000})) < 120


def test_a_whole_number_fits_where_a_number_belongs() -> None:
    assert parse(Search, {"spread": 2}, "planner").spread == 2.0


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Search().samples = 1


def test_a_default_that_does_not_fit_is_refused_too() -> None:
    class Wrong(Spec):
        samples: int = Field(default=0, ge=1)

    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Wrong()


@given(st.builds(Search, samples=st.integers(1), spread=st.floats(allow_nan=False, allow_infinity=False)))
def test_a_recipe_holds_every_field_and_reads_back_as_the_same_value(search: Search) -> None:
    recipe = search.recipe()
    assert recipe.keys() == Search.model_fields.keys()
    assert parse(Search, recipe, "planner") == search


def test_a_family_makes_the_member_a_section_names() -> None:
    assert SEARCHES.parse({"kind": "search", "samples": 5}) == Search(samples=5)


def test_a_member_from_outside_is_named_by_its_address() -> None:
    address = f"{__name__}:Search"
    assert SEARCHES.parse({"kind": address}) == Search(kind=address)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"kind": "serch"}, "unknown planner 'serch'; did you mean 'search'?"),
        ({"kind": "mpc"}, "unknown planner 'mpc'; there are lost, search"),
        ({"kind": "lost"}, "planner 'lost' cannot be imported: No module named 'worldgrid.nowhere'"),
        (
            {"kind": "json:Nothing"},
            "planner 'json:Nothing' cannot be imported: module 'json' has no attribute 'Nothing'",
        ),
        ({"kind": ":Search"}, "planner ':Search' cannot be imported: Empty module name"),
        ({"kind": "json:JSONDecoder"}, "planner 'json:JSONDecoder' is not a Search"),
        ({"kind": "json:dumps"}, "planner 'json:dumps' is not a Search"),
        ({"samples": 3}, "planner: given {'samples': 3}; a section with a kind fits: {kind: lost|search}"),
        ({"kind": 3}, "planner: given {'kind': 3}; a section with a kind fits: {kind: lost|search}"),
        ("search", "planner: given 'search'; a section with a kind fits: {kind: lost|search}"),
        ({"kind": "search", "samples": "x"}, "planner.samples: given 'x'; a whole number fits"),
    ],
)
def test_a_section_that_names_no_member_gets_one_line(section: object, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        SEARCHES.parse(section)
    assert str(error.value) == line


def test_an_axis_can_say_where_its_section_stands() -> None:
    with pytest.raises(ConfigError, match=r"^axes\.planner\.1\.samples: given 'x'; a whole number fits$"):
        SEARCHES.parse({"kind": "search", "samples": "x"}, "axes.planner.1")


def test_nothing_to_choose_from_is_not_offered() -> None:
    assert suggest("x", []) == ""


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.0005", "5.e-4", ".5e-3", "+5e-4"])
def test_a_number_may_be_written_in_any_usual_way(text: str) -> None:
    assert read_yaml(f"lr: {text}", "grid.yaml") == {"lr": 0.0005}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_python_prints_is_read_as_that_number(number: float) -> None:
    assert read_yaml(f"lr: {number!r}", "grid.yaml") == {"lr": number}


@given(st.integers())
def test_every_whole_number_is_read_as_that_number(number: int) -> None:
    assert read_yaml(f"seed: {number}", "grid.yaml") == {"seed": number}


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "No", "y", "010", "1:30", "0x1F", "2026-11-22", "1e", "e5", "1.2.3", "=", "v1"]
)
def test_text_that_older_yaml_reads_as_something_else_stays_text(text: str) -> None:
    assert read_yaml(f"name: {text}", "grid.yaml") == {"name": text}


def test_json_is_read_as_what_it_says() -> None:
    text = '{"a": [1, 2.5, true, null, "on"], "b": {"c": "5e-4"}}'
    assert read_yaml(text, "grid.yaml") == {"a": [1, 2.5, True, None, "on"], "b": {"c": "5e-4"}}


def test_a_section_may_be_merged_into_another_and_overridden() -> None:
    text = "small: &small {depth: 2, width: 64}\nlarge: {<<: *small, depth: 12}"
    assert read_yaml(text, "grid.yaml")["large"] == {"depth": 12, "width": 64}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "grid.yaml, line 3: not YAML: 'a' stands twice"),
        ("a:\n  b: 1\n  b: 2\n", "grid.yaml, line 3: not YAML: 'b' stands twice"),
        ("a: 1\n b: 2\n", "grid.yaml, line 2: not YAML: mapping values are not allowed here"),
        ("? [a, b]\n: 1\n", "grid.yaml, line 1: not YAML: a name must be text"),
        ("a: !!int x\n", "grid.yaml: not YAML: invalid literal for int() with base 10: 'x'"),
    ],
)
def test_text_that_is_not_yaml_is_refused_with_its_line(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_yaml(text, "grid.yaml")
    assert str(error.value) == line


@pytest.mark.parametrize(
    "text",
    ["a: [1", "a: 'x", "\x00", "--- 1\n--- 2", "a: *b", "!!python/object:os.system {}", "a: !!set {b}", "\t- a", "@"],
)
def test_every_refusal_of_a_text_is_one_line_that_names_the_file(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\Agrid\.yaml[^\n]*: not YAML: [^\n]+\Z"):
        read_yaml(text, "grid.yaml")


@given(st.text(st.sampled_from("ab:-[]{}&*!?|>'\"%@,#<~.0 1\n\te"), max_size=30))
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    assert "\n" not in complaint(text)


def test_a_file_that_is_not_there_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"grid\.yaml: cannot be read: No such file or directory$"):
        read_text(tmp_path / "grid.yaml")


def test_a_folder_is_not_a_file_to_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        read_text(tmp_path)


def test_a_file_that_is_not_utf8_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes("größe: 1".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"grid\.yaml: cannot be read: not UTF-8 text$"):
        read_text(path)


def test_a_file_in_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("größe: 1", encoding="utf-8")
    assert read_text(path) == "größe: 1"
