"""What official settings say of the encoder a predictor was trained on."""

from typing import Any

import pytest

from worldgrid.encoders import ENCODERS
from worldgrid.published import encoder_section

GIANT = {"enc_type": "vjepa", "enc_version": "v2_open", "enc_name": "vit_giant_xformers"}
DINO = {"enc_type": "dino", "enc_version": "dinov2_vits14"}


@pytest.mark.parametrize("normalised", [False, True])
def test_normalised_representations_ask_for_an_encoder_that_normalises(normalised: bool) -> None:
    given = {"model": {"visual_encoder": GIANT, "wm_encoding": {"normalize_reps": normalised}}}
    section = encoder_section(given)
    wanted: dict[str, Any] = {"kind": "vjepa", "model": "vjepa2_vit_giant"}
    assert section == wanted | ({"normalise": True} if normalised else {})
    assert ENCODERS.parse(section).recipe()["normalise"] is normalised


def test_an_encoder_says_nothing_of_the_one_before() -> None:
    """Sections are values of their own: what one asks for does not stay behind for the next."""
    imagenet = {"data_aug": {"normalize": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]}}
    encoder_section({"model": GIANT | {"normalize_reps": True}} | imagenet)
    assert encoder_section({"model": DINO} | imagenet) == {
        "kind": "timm",
        "model": "dinov2_vits14",
        "resample": "hub",
    }
