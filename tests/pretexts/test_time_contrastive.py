"""The time-contrastive pretext is InfoNCE, whatever was done."""

import numpy as np
import torch

from worldgrid.predictors import Shapes
from worldgrid.pretexts import PRETEXTS
from worldgrid.representation import info_nce


def test_it_is_info_nce_at_its_temperature_and_looks_at_no_action() -> None:
    spec = PRETEXTS.parse({"kind": "time_contrastive", "temperature": 0.3, "reach": 2})
    contrast = spec.build(Shapes(patches=4, width=6, action=3, proprio=0))
    before, after = torch.randn(2, 8, 4, 6)
    loss, _ = contrast(before, after, torch.full((8, 3), torch.nan), np.random.default_rng(0))
    assert torch.equal(loss, info_nce(before, after, 0.3))
    assert spec.span == 2
