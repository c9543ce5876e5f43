"""What a step is gets hashed into its key; what it runs on, and how it was written down, does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from worldgrid.spec import JSON, Spec, parse
from worldgrid.step import Step, canonical, digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Fit(Spec):
    """Settings with defaults."""

    lr: float = Field(default=5e-4, gt=0)
    epochs: int = 50


def collect(seed: int = 0) -> Step:
    return Step("collect", 1, {"episodes": 2000, "seed": seed})


def train(lr: float = 5e-4, seed: int = 0, version: int = 1) -> Step:
    return Step("train", version, {"lr": lr}, {"data": collect(seed)})


def backwards(value: object) -> object:
    """The same value with every object's names in the opposite order."""
    if isinstance(value, dict):
        return {name: backwards(inner) for name, inner in reversed(value.items())}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


def test_the_key_of_a_recipe_never_moves() -> None:
    step = Step("train", 3, {"lr": 5e-4, "epochs": 50, "layers": [1, 2]}, {"data": Step("collect", 1, {"seed": 0})})
    assert step.recipe == {
        "stage": "train",
        "version": 3,
        "config": {"lr": 5e-4, "epochs": 50, "layers": [1, 2]},
        "inputs": {"data": "collect-c08eadd2ec16"},
    }
    assert step.key == "train-f0bba9f11a9b"


def test_the_canonical_text_is_sorted_and_without_spaces() -> None:
    assert canonical({"b": [1, 2.0], "a": "ö"}) == '{"a":"\\u00f6","b":[1,2.0]}'


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_the_order_of_names_changes_no_key(config: JSON) -> None:
    assert Step("train", 1, backwards(config)).key == Step("train", 1, config).key


@given(VALUES, VALUES)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))


def test_a_value_that_is_no_number_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = Step("train", 1, {"lr": float("nan")}).key


def test_a_default_written_out_is_the_default() -> None:
    written = parse(Fit, {"lr": 0.0005, "epochs": 50}, "train")
    assert Step("train", 1, written.recipe()).key == Step("train", 1, Fit().recipe()).key


def test_defaults_are_part_of_the_recipe() -> None:
    assert Step("train", 1, Fit(epochs=3).recipe()).recipe["config"] == {"lr": 5e-4, "epochs": 3}


def test_a_whole_number_in_place_of_a_number_changes_no_key() -> None:
    whole, written = (parse(Fit, {"lr": lr}, "train") for lr in (1, 1.0))
    assert digest(whole.recipe()) == digest(written.recipe())


@pytest.mark.parametrize(
    "other",
    [train(lr=1e-3), train(seed=1), train(version=2), Step("tune", 1, {"lr": 5e-4}, {"data": collect()})],
    ids=["a setting", "an input's setting", "the version", "the stage"],
)
def test_a_key_changes_with(other: Step) -> None:
    assert other.key != train().key


def test_what_an_input_is_called_is_part_of_the_recipe() -> None:
    renamed = Step("train", 1, {"lr": 5e-4}, {"clips": collect()})
    assert renamed.key != train().key


def test_the_order_of_inputs_changes_no_key() -> None:
    one, other = collect(0), collect(1)
    ab, ba = ({"a": one, "b": other}, {"b": other, "a": one})
    assert Step("join", 1, {}, ab).key == Step("join", 1, {}, ba).key


def test_equal_steps_are_one_in_a_set() -> None:
    assert {train(), train(), train(seed=1)} == {train(), train(seed=1)}


def test_a_walk_gives_inputs_first_and_every_step_once() -> None:
    data = collect()
    encoder = Step("pretrain", 1, {}, {"data": data})
    latents = Step("encode", 1, {}, {"data": data, "encoder": encoder})
    last = Step("evaluate", 1, {}, {"encoder": encoder, "latents": latents, "data": collect()})
    assert list(last.walk()) == [data, encoder, latents, last]
