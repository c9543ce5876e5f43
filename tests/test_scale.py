"""What an experiment runs on: custom resources put training and planning on nodes of their own."""

import pytest

from worldgrid.scale import Scale
from worldgrid.spec import ConfigError, parse


def test_a_group_of_nodes_is_asked_for_by_a_custom_resource() -> None:
    section = {"train": {"resources": {"train": 1}}, "evaluate": {"resources": {"evaluate": 0.5}}}
    scale = parse(Scale, section, "scale")
    assert dict(scale.train.resources) == {"train": 1.0}
    assert dict(scale.evaluate.resources) == {"evaluate": 0.5}


@pytest.mark.parametrize(
    ("resources", "said"),
    [({"GPU": 1}, "'GPU' is no custom resource"), ({"train": 0}, "'train' is 0; more than 0 fits")],
)
def test_a_resource_that_is_none_is_one_line(resources: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Scale, {"train": {"resources": resources}}, "scale")
