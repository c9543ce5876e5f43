"""What a cluster says of itself against what a grid asks for."""

from importlib.metadata import version
from typing import Any

import pytest

from worldgrid.checks import compare
from worldgrid.scale import Scale
from worldgrid.spec import ConfigError, parse

FOUND = {
    "python": "3.12.1",
    "worldgrid": version("worldgrid"),
    "nodes": 3,
    "capacity": {"CPU": 8.0, "GPU": 2.0, "evaluate": 1000.0},
    "trouble": "",
}


def scale(**section: Any) -> Scale:
    return parse(Scale, section, "scale")


def test_what_fits_is_let_through() -> None:
    everywhere = {"gpus": 0.5, "resources": {"evaluate": 1}}
    compare(FOUND, scale(train={"workers": 2, "gpus": 1}, evaluate=everywhere), source=False)


@pytest.mark.parametrize(
    ("change", "source", "said"),
    [
        ({"python": "3.10.9"}, True, "runs Python 3.10.9; 3.11 or newer fits"),
        ({"worldgrid": "0.0.1"}, False, "has worldgrid 0.0.1"),
        ({"worldgrid": ""}, False, "has worldgrid not"),
        ({"trouble": "store s3://b: cannot be written"}, True, "from the cluster: store s3://b: cannot be written"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict[str, Any], source: bool, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compare(FOUND | change, scale(), source=source)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_source_that_goes_along_needs_no_installed_worldgrid() -> None:
    compare(FOUND | {"worldgrid": ""}, scale(), source=True)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"train": {"workers": 4, "gpus": 1}}, "scale.train: asks for 4 GPU; the cluster has 2 at most"),
        ({"train": {"resources": {"train": 1}}}, "scale.train: asks for 1 train; the cluster has 0 at most"),
        ({"evaluate": {"gpus": 4}}, "scale.evaluate: asks for 4 GPU; the cluster has 2 at most"),
        ({"encode": {"cpus": 9}}, "scale.encode: asks for 9 CPU; the cluster has 8 at most"),
    ],
)
def test_a_resource_that_is_missing_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compare(FOUND, scale(**section), source=True)
