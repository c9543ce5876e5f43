"""The cost around the plan, as the planner sees it and as it truly is. B episodes, H horizon, A model action.

A point of the map is the plan with the same amount added to one number of all its simulator actions (across), and to
another (up), in standard deviations of the data's actions. The true map executes every point and measures the env's
distance to the goal at its end.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgrid.diagnoses import Finding, Maps, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.representation import rank_correlation

POINTS, EXTENT = 13, 1.5
"""Points along each axis, and how far the outermost are from the plan."""
POOR, FAIR = 0.3, 0.7
"""Spearman's correlation of the two maps; ours."""
ROUGH = 3
"""Valleys of a map, the plan's own included, from which a search that only descends is likely to be trapped; ours."""


def diagnose(subject: Subject) -> Finding:
    """For the first episode: valleys of both maps, how alike they are in order, and where the plan lies."""
    if subject.experiment.env.action_dim < 2:
        return Finding("Cost landscape", "unknown", "A simulator action has one number; a plane needs two.")
    around = neighbours(subject)
    with torch.no_grad():
        seen = subject.cost_of(slice(0, 1))(around[None])[0].cpu().double().numpy().reshape(POINTS, POINTS)
    there = subject.execute(np.zeros(len(around), np.int64), around).distances[:, -1].reshape(POINTS, POINTS)
    alike, found, true = rank_correlation(seen.ravel(), there.ravel()), valleys(seen), valleys(there)
    middle = POINTS // 2
    better = float((seen < seen[middle, middle]).mean())
    verdict: Verdict = "ill" if alike < POOR else "watch" if alike < FAIR or found >= ROUGH else "sound"
    sentence = (
        f"Around the plan of episode {subject.episodes[0]} the cost orders ends like the truth to {alike:.2f} "
        f"(Spearman); it has {found} {'valley' if found == 1 else 'valleys'} where the truth has {true}; {better:.0%} "
        "of the neighbours are cheaper than the plan."
    )
    labels = ("added to number 0", "added to number 1")
    maps = Maps("around the plan", {"imagined cost": seen, "true distance": there}, EXTENT, labels)
    numbers = {"spearman": alike, "valleys": float(found), "true_valleys": float(true), "cheaper_neighbours": better}
    return Finding("Cost landscape", verdict, sentence, _mend(alike, found), numbers, [maps])


def _mend(alike: float, found: int) -> str:
    if alike < FAIR:
        return "What is cheap is not near: see the rollout error and the latent distance, which of them is at fault."
    if found >= ROUGH:
        return "Many valleys: a planner that samples (cem), more planner.starts, or goals less far (mpc.horizon)."
    return ""


def neighbours(subject: Subject) -> Tensor:
    """`[n * n, H, A]` the first episode's plan with shifts added to all its simulator actions, rows from below."""
    env, amounts = subject.experiment.env, torch.linspace(-EXTENT, EXTENT, POINTS)
    axes = torch.eye(env.action_dim)[:2].repeat(1, env.frameskip)
    shifts = amounts[:, None, None] * axes[1] + amounts[None, :, None] * axes[0]
    return subject.search[0].actions[0] + shifts.flatten(0, 1)[:, None]


def valleys(values: NDArray[np.float64]) -> int:
    """Points of a map that are cheaper than their eight neighbours; the rim, where slopes end, does not count."""
    side = len(values) - 2
    inner, shifts = values[1:-1, 1:-1], [(row, column) for row in range(3) for column in range(3)]
    around = [values[row : row + side, column : column + side] for row, column in shifts if (row, column) != (1, 1)]
    return int((inner < np.min(around, axis=0)).sum())
