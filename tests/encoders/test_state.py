"""The simulator's state as a token."""

import torch

from worldgrid.encoders import ENCODERS
from worldgrid.envs import ENVS


def test_the_only_token_is_the_state() -> None:
    encoder = ENCODERS.parse({"kind": "state"}).build(ENVS.parse({"kind": "wall"}))
    states = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert encoder.reads == "state"
    assert (encoder.patches, encoder.width) == (1, 2)
    assert torch.equal(encoder(states), states[:, None])
