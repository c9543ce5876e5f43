"""What every encoder of the table keeps that needs no weights from outside."""

import pytest
import torch
from torch import Tensor

from worldgrid.encoders import ENCODERS, Encoder
from worldgrid.envs import ENVS

FROM_OUTSIDE = {"timm", "vjepa"}
"""Their own tests give them weights."""
WALL = ENVS.parse({"kind": "wall", "size": 32})
STATES = WALL.tasks(range(5)).state()


def seen(encoder: Encoder) -> Tensor:
    return torch.from_numpy(WALL.render(STATES) if encoder.reads == "frames" else STATES.astype("float32"))


@pytest.fixture(params=sorted(set(ENCODERS.members) - FROM_OUTSIDE))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    spec = ENCODERS.parse({"kind": request.param})
    spec.check(WALL)
    return spec.build(WALL)


def test_tokens_are_as_many_and_as_wide_as_it_says(encoder: Encoder) -> None:
    tokens = encoder(seen(encoder))
    assert tokens.shape == (5, encoder.patches, encoder.width)
    assert tokens.dtype == torch.float32


def test_frames_do_not_mix(encoder: Encoder) -> None:
    together = encoder(seen(encoder))
    alone = torch.cat([encoder(one) for one in seen(encoder).split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_different_states_have_different_tokens(encoder: Encoder) -> None:
    tokens = encoder(seen(encoder)).flatten(1)
    assert torch.cdist(tokens, tokens).fill_diagonal_(1.0).min() > 0


def test_it_is_built_for_use_not_for_learning(encoder: Encoder) -> None:
    assert not encoder.training
