"""What every pretext of the table promises, with every choice it has."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worldgrid.predictors import Shapes
from worldgrid.pretexts import PRETEXTS, Pretext

SHAPES = Shapes(patches=4, width=6, action=3, proprio=0)
STRONG = {"variance": 1.0, "covariance": 0.04}
CHOICES: dict[str, list[dict[str, Any]]] = {
    "inverse_dynamics": [STRONG],
    "jepa": [{"regulariser": "sigreg", "weight": 1.0}, {"regulariser": "vicreg"} | STRONG],
}
EVERY = [{"kind": kind} | choice for kind in sorted(PRETEXTS.members) for choice in CHOICES.get(kind, [{}])]


@pytest.fixture(
    params=EVERY, ids=lambda section: "-".join(value for value in section.values() if isinstance(value, str))
)
def pretext(request: pytest.FixtureRequest) -> Pretext:
    torch.manual_seed(0)
    return PRETEXTS.parse(request.param).build(SHAPES)


def drawn(seed: int, pairs: int = 16) -> list[Tensor]:
    """Tokens before and after, and actions."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [torch.randn(pairs, 4, 6, generator=generator, requires_grad=True) for _ in range(2)]
    return [*tokens, torch.randn(pairs, 3, generator=generator)]


def loss(pretext: Pretext, seen: list[Tensor], seed: int = 0) -> Tensor:
    return pretext(*seen, np.random.default_rng(seed))[0]


def test_the_loss_is_one_number_that_teaches_both_frames_of_a_pair(pretext: Pretext) -> None:
    seen = drawn(0)
    total = loss(pretext, seen)
    assert total.shape == ()
    for gradient in torch.autograd.grad(total, seen[:2]):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_equal_streams_draw_the_same(pretext: Pretext) -> None:
    seen = drawn(0)
    assert torch.equal(loss(pretext, seen, seed=3), loss(pretext, seen, seed=3))


def test_terms_have_no_history(pretext: Pretext) -> None:
    _, terms = pretext(*drawn(0), np.random.default_rng(0))
    assert not any(term.requires_grad for term in terms.values())


def test_frames_that_all_look_the_same_cost_more_than_frames_that_differ(pretext: Pretext) -> None:
    """No network is needed to see it: this is what keeps an encoder from collapsing."""
    before, after, _ = (tensor.detach() for tensor in drawn(0, pairs=256))
    nothing = torch.zeros(256, 3)
    spread_out = loss(pretext, [before, before + 0.01 * after, nothing])
    collapsed = loss(pretext, [torch.zeros_like(before), torch.zeros_like(after), nothing])
    assert collapsed > spread_out
