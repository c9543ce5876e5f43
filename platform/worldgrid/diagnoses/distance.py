"""Whether latent distance to the goal orders states as true distance does. B episodes, H horizon, X state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Future, Subject
from worldgrid.noise import generator
from worldgrid.representation import rank_correlation

WANDERINGS = 6
"""Random action sequences per episode whose states are compared, besides its plan."""
POOR, FAIR = 0.5, 0.8
"""Spearman's correlation; ours: the quickstart's encoder has 0.95 and plans, one with 0.6 does not."""
FLAT = 0.2
"""Contrast between near and far frames below which costs are hard to tell apart; ours. The study sees it shrink ten
times from small to large encoders, beside falling success."""


def diagnose(subject: Subject) -> Finding:
    """Spearman's correlation within each episode, over states that its plan and random actions pass, averaged."""
    rows, future = _wander(subject)
    states = future.states.reshape(-1, future.states.shape[-1])
    each = np.repeat(rows, future.states.shape[1])
    latent = subject.distances(subject.look(states), each)
    kinds = {"distance": future.distances.ravel()}
    ways = _ways(subject, states, each)
    if ways is not None:
        kinds["shortest way"] = ways
    numbers = {f"spearman, {name}": _within(latent, true, each) for name, true in kinds.items()}
    numbers["contrast"] = contrast = _contrast(latent, kinds["distance"], each)
    best = max(value for name, value in numbers.items() if name != "contrast")
    verdict: Verdict = "ill" if best < POOR else "watch" if best < FAIR or contrast < FLAT else "sound"
    said = ", ".join(f"{numbers[f'spearman, {name}']:.2f} with the {name}" for name in kinds)
    sentence = (
        f"The cost orders states like the truth to {said} (Spearman); the far differ by {contrast:.0%} from the near."
    )
    picture = Curves(
        "cost by true distance (quantiles)", "true distance", {n: _binned(t, latent) for n, t in kinds.items()}, "cost"
    )
    return Finding("Latent against true distance", verdict, sentence, _mend(verdict, contrast), numbers, [picture])


def _mend(verdict: Verdict, contrast: float) -> str:
    if verdict == "sound":
        return ""
    if contrast < FLAT:
        return (
            "Near and far look alike: smaller encoders, or finer patches, tell them apart better (study: model size)."
        )
    return (
        "An encoder whose distances are what is planned with (pretrain.objective time_contrastive), proprioception in "
        "the objective (objective.proprio 0.1), or nearer goals: over short ways the order is kept more often."
    )


def _wander(subject: Subject) -> tuple[NDArray[np.int64], Future]:
    """`[n]` episodes, and where plans and random sequences lead from their starts."""
    plans = subject.search[0].actions
    rows = np.repeat(np.arange(len(subject.episodes)), 1 + WANDERINGS)
    stream = generator("wander", *map(int, (subject.experiment.evaluate.seed, len(rows))))
    actions = plans.new_tensor(stream.standard_normal((len(rows), *plans.shape[1:]), np.float32))
    actions[:: 1 + WANDERINGS] = plans
    return rows, subject.execute(rows, actions)


def _ways(subject: Subject, states: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """`[n]` shortest ways to the goals, where the env knows them."""
    found = subject.experiment.env.geodesic(states, subject.tasks.goals)
    return None if found is None else found[np.arange(len(states)), rows]


def _within(latent: NDArray[np.float64], true: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    return float(np.mean([rank_correlation(latent[rows == row], true[rows == row]) for row in np.unique(rows)]))


def _contrast(latent: NDArray[np.float64], true: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    """How much cheaper the truly nearest quarter of an episode's states is than the farthest, of the latter's cost."""
    found = []
    for row in np.unique(rows):
        chosen = latent[rows == row][np.argsort(true[rows == row])]
        quarter = max(1, len(chosen) // 4)
        far = np.median(chosen[-quarter:])
        found.append(1 - np.median(chosen[:quarter]) / far if far > 0 else 0.0)
    return float(np.mean(found))


def _binned(true: NDArray[np.float64], latent: NDArray[np.float64], bins: int = 10) -> tuple[list[float], list[float]]:
    parts = np.array_split(np.argsort(true), bins)
    pairs = [(float(np.mean(true[part])), float(np.median(latent[part]))) for part in parts if len(part)]
    return [where for where, _ in pairs], [value for _, value in pairs]
