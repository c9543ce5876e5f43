"""World model: a frozen encoder and predictor that say what actions would lead to, and how far that is from a goal.

B episodes, N candidates, T frames, H horizon, A model action (frameskip x simulator action a), P patches, D latent,
Q proprio. Frames, goals and imagined futures are all `Latent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Literal, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from worldgrid.encoders import Encoder
from worldgrid.envs import Observation
from worldgrid.objectives import ObjectiveSpec
from worldgrid.packing import Packing, Work, blocks
from worldgrid.planners import Cost
from worldgrid.predictors import Latent, Predictor
from worldgrid.spec import ConfigError, Spec


class Normalisation(Spec):
    """Statistics of the training data: what a predictor reads has mean 0 and standard deviation 1.

    Actions have one mean and deviation per number of a simulator action, the same for all frameskip actions of a
    model action (jepa-wms `traj_dset.py`). `recipe()` and `spec.parse` carry it through JSON.
    """

    action_mean: tuple[float, ...] = Field(min_length=1)
    """a numbers, simulator units."""
    action_std: tuple[float, ...]
    proprio_mean: tuple[float, ...]
    """Q numbers, simulator units."""
    proprio_std: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Normalisation:
        if len(self.action_mean) != len(self.action_std) or len(self.proprio_mean) != len(self.proprio_std):
            raise ValueError("a mean and a standard deviation for every number fits")
        if min(self.action_std + self.proprio_std) <= 0:
            raise ValueError("standard deviations above 0 fit")
        return self

    @classmethod
    def measure(cls, actions: NDArray[np.floating], proprio: NDArray[np.floating]) -> Normalisation:
        """From `[n, a]` simulator actions and `[m, Q]` proprioception; a number that never varies is left unscaled."""
        action_mean, action_std = _statistics(actions)
        proprio_mean, proprio_std = _statistics(proprio)
        return cls(action_mean=action_mean, action_std=action_std, proprio_mean=proprio_mean, proprio_std=proprio_std)

    def standardise_actions(self, actions: Tensor) -> Tensor:
        """`[..., A]` in simulator units -> `[..., A]` standardised."""
        steps: Tensor = actions.unflatten(-1, (-1, len(self.action_mean)))
        return ((steps - actions.new_tensor(self.action_mean)) / actions.new_tensor(self.action_std)).flatten(-2)

    def restore_actions(self, actions: Tensor) -> Tensor:
        """`[..., A]` standardised -> `[..., A]` in simulator units."""
        steps: Tensor = actions.unflatten(-1, (-1, len(self.action_mean)))
        return (steps * actions.new_tensor(self.action_std) + actions.new_tensor(self.action_mean)).flatten(-2)

    def standardise_proprio(self, proprio: Tensor) -> Tensor:
        """`[..., Q]` in simulator units -> `[..., Q]` standardised."""
        return (proprio - proprio.new_tensor(self.proprio_mean)) / proprio.new_tensor(self.proprio_std)


def _statistics(rows: NDArray[np.floating]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    scale = np.where(std > 1e-8 * np.maximum(1.0, np.abs(mean)), std, 1.0)
    return tuple(mean.tolist()), tuple(scale.tolist())


@final
@dataclass(frozen=True)
class WorldModel:
    """A trained model as a planner uses it. Making one puts its networks into eval mode and freezes their weights.

    `memory`, `precision` and `compiled` are settings of `mpc.MPC`: they change time, and the last bits of results.
    """

    encoder: Encoder
    predictor: Predictor
    normalisation: Normalisation
    context: int
    """Frames the predictor sees while planning (paper: 2)."""
    memory: int | None = None
    """MiB that sequences imagined at once may take; None: what is best on a CPU, half of what a GPU has free."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What rollouts are computed in; costs are float32."""
    compiled: bool = False
    """Whether torch compiles what rollouts repeat."""
    _packing: Packing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.predictor.streaming and self.context != self.predictor.context:
            raise ConfigError(
                f"mpc.context: given {self.context}; predictor.context ({self.predictor.context}) fits: a streaming "
                "predictor plans with the frames it was trained with"
            )
        for network in (self.encoder, self.predictor):
            network.eval().requires_grad_(False)
        object.__setattr__(self, "_packing", Packing(self.memory))

    @torch.no_grad()
    def look(self, observation: Observation) -> Latent:
        """What B episodes show now -> `[B, 1, ...]`, on the networks' device."""
        weights = chain(self.encoder.parameters(), self.predictor.parameters(), [torch.empty(0)])
        device = next(weights).device
        seen = observation.frames if self.encoder.reads == "frames" else observation.state.astype(np.float32)
        visual = self.encoder(torch.from_numpy(seen).to(device))
        proprio = self.normalisation.standardise_proprio(torch.from_numpy(observation.proprio).to(device))
        return Latent(visual[:, None], self.predictor.embed(proprio[:, None]))

    @torch.no_grad()
    def imagine(self, start: Latent, actions: Tensor) -> Latent:
        """`[B, 1, ...]` starts and `[B, N, H, A]` standardised actions -> `[B, N, H, ...]` imagined frames."""

        def work(episodes: slice, candidates: slice) -> tuple[Tensor, ...]:
            future = self._imagine(_of(start, episodes), actions[episodes, candidates])
            return tuple(part for part in future if part is not None)

        return Latent(*self._pack(work, actions, start.visual.device, history=False))

    def cost(self, start: Latent, goal: Latent, objective: ObjectiveSpec) -> Cost:
        """How far from `[B, 1, ...]` goals candidates would end, for a planner; gradients reach the actions alone."""

        def price(episodes: slice, actions: Tensor) -> Tensor:
            future = self._imagine(_of(start, episodes), actions).map(lambda z: z.flatten(0, 1).float())
            ends = _of(goal, episodes).repeat(actions.shape[1])
            return objective.distance(future, ends).view(actions.shape[:2]).to(actions.device)

        def cost(actions: Tensor) -> Tensor:
            if actions.requires_grad and torch.is_grad_enabled():
                slope = partial(self._slope, price, device=start.visual.device)
                return cast(Tensor, _Cost.apply(actions, slope))
            (costs,) = self._pack(
                lambda some, part: (price(some, actions[some, part]),), actions, start.visual.device, history=False
            )
            return costs

        return cost

    def _slope(
        self, price: Callable[[slice, Tensor], Tensor], actions: Tensor, device: torch.device
    ) -> tuple[Tensor, ...]:
        """`[B, N]` costs and their `[B, N, H, A]` gradients: no more than one block's history is ever held."""

        @torch.enable_grad()
        def work(episodes: slice, candidates: slice) -> tuple[Tensor, ...]:
            chosen = actions[episodes, candidates].detach().requires_grad_()
            costs = price(episodes, chosen)
            return costs.detach(), *torch.autograd.grad(costs.sum(), chosen)

        return self._pack(work, actions, device, history=True)

    def _imagine(self, start: Latent, actions: Tensor) -> Latent:
        device = start.visual.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.predictor.imagine(start, actions.to(device), self.context)

    def _pack(self, work: Work, actions: Tensor, device: torch.device, *, history: bool) -> tuple[Tensor, ...]:
        if self.compiled:
            self.predictor.compile_rollout()
        each = self.predictor.footprint(self.context, actions.shape[2] if history else 0)
        return self._packing.run(work, (actions.shape[0], actions.shape[1]), each, device, history=history)

    def block(self, shape: tuple[int, int], horizon: int, *, history: bool) -> tuple[int, int]:
        """Of `(B, N)`, how many episodes and candidates are imagined at once, with the history of their numbers or
        without."""
        device = next(self.predictor.parameters(), torch.empty(0)).device
        each = self.predictor.footprint(self.context, horizon if history else 0)
        some, parts = blocks(shape, self._packing.rows(shape, each, device, history=history))[0]
        return some.stop, parts[0].stop


class _Cost(torch.autograd.Function):
    """Costs that know their gradients in the actions already: a cost belongs to its own actions alone."""

    @staticmethod
    def forward(ctx: Any, actions: Tensor, slope: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        costs, gradients = slope(actions)
        ctx.save_for_backward(gradients)
        return costs

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradients,) = ctx.saved_tensors
        return upstream[..., None, None] * gradients, None


def _of(latent: Latent, episodes: slice) -> Latent:
    return latent.map(lambda z: z[episodes])
