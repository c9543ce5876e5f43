"""Nevergrad: any of its optimisers, asked and told, one instance per episode. B, N, H, A as everywhere."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from worldgrid.noise import stream_seed
from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Clip, Search


@final
class Nevergrad(PlannerSpec):
    """The study's NG: NGOpt with a budget of samples x iterations, told `samples` at a time.

    Unlike the study, plans shortened at the end of an episode are searched at their own length. Reproducible for
    optimisers that draw from their parametrisation alone: NGOpt's choices here, CMA's family, DE, OnePlusOne.
    """

    kind: Literal["nevergrad"] = "nevergrad"
    optimiser: str = "NGOpt"
    """A name in Nevergrad's registry. MetaModel, named or chosen by NGOpt, is DiagonalCMA here, as in the study."""
    samples: int = Field(default=300, ge=1)
    """N: candidates asked for at once, and Nevergrad's `num_workers`."""
    iterations: int = Field(default=30, ge=1)
    """How often N candidates are asked for (study: 30; 15 on Metaworld, DROID and RoboCasa)."""
    spread: float = Field(default=1.0, gt=0)
    """Standard deviation of the first mutations, standardised units (study: Nevergrad's own, 1)."""
    clip: Clip | None = None
    """Bounds of the search: largest magnitude of every number of a simulator action (study: none in simulation)."""

    @model_validator(mode="after")
    def _installed(self) -> Nevergrad:
        if importlib.util.find_spec("nevergrad") is None:
            raise ValueError("needs the package nevergrad: pip install 'worldgrid[nevergrad]'")
        return self

    @field_validator("optimiser")
    @classmethod
    def _known(cls, name: str) -> str:
        installed = importlib.util.find_spec("nevergrad") is not None
        if name != "NGOpt" and installed and name not in _registry():  # the import takes seconds
            raise ValueError("a name in nevergrad.optimizers.registry fits, such as NGOpt, DiagonalCMA or TwoPointsDE")
        return name

    @property
    def calls(self) -> int:
        """The budget."""
        return self.samples * self.iterations

    @torch.no_grad()
    def plan(self, problem: Problem) -> Plan:
        """What each episode's optimiser recommends."""
        search, noise = Search(problem, self.clip), problem.noise
        seeds = [stream_seed("nevergrad", noise.seed, episode, noise.replan) for episode in noise.episodes]
        begins = search.begin.cpu().double().numpy()
        optimisers = [self._start(search, seed, begin) for seed, begin in zip(seeds, begins, strict=True)]
        for _ in range(self.iterations):
            asked = [[optimiser.ask() for _ in range(self.samples)] for optimiser in optimisers]
            actions = np.stack([[candidate.value for candidate in candidates] for candidates in asked])
            losses = _told(search.price(torch.from_numpy(actions).float().to(search.device)).cpu())
            for optimiser, candidates, values in zip(optimisers, asked, losses, strict=True):
                for candidate, loss in zip(candidates, values, strict=True):
                    optimiser.tell(candidate, float(loss))
        found = np.stack([optimiser.provide_recommendation().value for optimiser in optimisers])
        return search.plan(torch.from_numpy(found).float().to(search.device))

    def _start(self, search: Search, seed: int, begin: NDArray[np.float64]) -> Any:
        import nevergrad

        registry = _registry()
        array = nevergrad.p.Array(init=begin)
        if self.clip is not None:
            bounds = search.limit.cpu().double().expand(search.shape).numpy()
            array.set_bounds(-bounds, bounds)
        array.set_mutation(sigma=self.spread)
        array.random_state = np.random.RandomState(seed % 2**32)
        settings = {"parametrization": array, "budget": self.calls, "num_workers": self.samples}
        optimiser = registry[self.optimiser](**settings)
        chosen = getattr(optimiser, "optim", optimiser)  # NGOpt and its relatives choose for themselves
        return registry["DiagonalCMA"](**settings) if chosen.name == "MetaModel" else optimiser


def _registry() -> Any:
    import nevergrad

    return nevergrad.optimizers.registry


def _told(costs: Tensor) -> NDArray[np.float64]:
    """`[B, N]` costs that an optimiser can be told: what has none counts as the worst of its episode."""
    worst = costs.where(costs.isfinite(), -torch.inf).amax(dim=1, keepdim=True)
    told: NDArray[np.float64] = costs.minimum(worst).double().numpy()
    return told
