"""Where following the cost's gradient leads: how far, how straight, whether it stops short. B, N, H, A as everywhere.

The smoothness of what is descended is one of the study's open questions: the same numbers for trials that differ in
`predictor.conditioning` alone are its measurement.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.planners import PLANNERS, Cost, PlannerSpec

EPISODES, STARTS, ITERATIONS = 4, 8, 60
"""Episodes, descents of each, and steps of one that does not belong to the trial's own planner."""
STILL = 0.1
"""Standard deviations that actions must move, root mean square, for a descent to have gone anywhere; ours."""
HALF = 0.5
"""A descent that leaves more than this of the fall, from its start to the cheapest cost found, came to little; ours."""


class Traced:
    """A cost that remembers where a descent was, what it paid there, and the gradients it was given."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self.actions: list[Tensor] = []
        self.costs: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def __call__(self, actions: Tensor) -> Tensor:
        """`[B, N, H, A]` -> `[B, N]`, unchanged."""
        costs = self._cost(actions)
        self.actions.append(actions.detach().cpu())
        self.costs.append(costs.detach().cpu())
        actions.register_hook(lambda gradient: self.gradients.append(gradient.detach().cpu()))
        return costs


def diagnose(subject: Subject) -> Finding:
    """Descents from random starts, by the trial's planner where it descends, else by the study's gd without noise."""
    episodes = subject.episodes[:EPISODES]
    planner, traced = _descent(subject), Traced(subject.cost_of(slice(0, len(episodes))))
    planner.plan(subject.problem(traced, episodes))
    path, costs, gradients = (torch.stack(seen) for seen in (traced.actions, traced.costs, traced.gradients))
    moved = (path[-1] - path[0]).square().mean(dim=(2, 3)).sqrt()
    walked = path.diff(dim=0).flatten(3).norm(dim=3).sum(dim=0)
    straight = (path[-1] - path[0]).flatten(2).norm(dim=2).clamp_min(1e-12)
    norms = gradients.flatten(3).norm(dim=3)
    cosine = cosine_similarity(gradients[1:].flatten(3), gradients[:-1].flatten(3), dim=3)
    found = subject.search[1].elites.amin(dim=1)[: len(episodes)]
    best = torch.minimum(found, costs.amin(dim=(0, 2)))[:, None]
    left = (costs[-1] - best) / (costs[0] - best).clamp_min(1e-12)
    numbers = {
        "cost_left": float((costs[-1] / costs[0].clamp_min(1e-12)).median()),
        "moved": float(moved.median()),
        "gradient_left": float((norms[-1] / norms[0].clamp_min(1e-12)).median()),
        "fell_short": float((left > HALF).float().mean()),
        "detour": float((walked / straight).median()),
        "gradient_cosine": float(cosine.mean()),
    }
    steps = list(range(1, len(costs) + 1))
    lines = {
        "cost": (steps, (costs / costs[0].clamp_min(1e-12)).flatten(1).median(dim=1).values.tolist()),
        "gradient norm": (steps, (norms / norms[0].clamp_min(1e-12)).flatten(1).median(dim=1).values.tolist()),
    }
    picture = Curves("descent by iteration, of the first (median descent)", "iteration", lines)
    verdict, sentence, mend = _judge(numbers, planner)
    return Finding("Gradient descent", verdict, sentence, mend, numbers, [picture])


def _descent(subject: Subject) -> PlannerSpec:
    planner = subject.experiment.planner
    if planner.kind in ("gd", "adam"):
        return planner.model_copy(update={"starts": STARTS})
    return PLANNERS.parse({"kind": "gd", "iterations": ITERATIONS, "starts": STARTS, "noise": 0.0})


def _judge(numbers: dict[str, float], planner: PlannerSpec) -> tuple[Verdict, str, str]:
    said = (
        f"{planner.calls // STARTS} steps of {planner.kind} bring the cost to {numbers['cost_left']:.0%} of its start "
        f"and move the actions by {numbers['moved']:.2f} standard deviations, on ways {numbers['detour']:.1f} times as "
        f"long as the straight ones; {numbers['fell_short']:.0%} of the descents leave more than half of the fall to "
        "the cheapest cost found."
    )
    if numbers["moved"] < STILL:
        return (
            "ill",
            f"Flat: {said}",
            "A larger planner.lr, or adam: steps follow the cost's scale, which is the encoder's.",
        )
    if numbers["gradient_cosine"] < 0:
        return "ill", f"Overshooting: {said}", "A smaller planner.lr: successive gradients point against each other."
    if numbers["fell_short"] > 0.5:
        if numbers["gradient_left"] < 0.5:
            return (
                "ill",
                f"Local minima: {said}",
                "A planner that samples (cem: the study's best everywhere but on Metaworld), or more planner.starts.",
            )
        return (
            "watch",
            f"Not there yet: {said}",
            "More planner.iterations or a larger planner.lr: the gradient is still large.",
        )
    return "sound", said, ""
