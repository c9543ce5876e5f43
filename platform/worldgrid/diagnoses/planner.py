"""Whether the search came to an end: cost and spread of its cheapest candidates, iteration by iteration. B episodes."""

from __future__ import annotations

import numpy as np

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Subject

FALLING = 0.05
"""Share of the whole gain that the last quarter of the iterations still brings, above which more would help; ours."""
COLLAPSED = 0.05
"""Of the first iteration's spread: candidates that near to each other find nothing new; ours."""


def diagnose(subject: Subject) -> Finding:
    """Medians over episodes of the elites' cost and of the candidates' spread, each against the first iteration's."""
    _, watched = subject.search
    costs, spreads = watched.elites.double().numpy(), watched.spreads.double().numpy()
    first = np.maximum(costs[:, :1], 1e-12)
    if costs.shape[1] == 1:
        return Finding("Planner convergence", "unknown", "The planner draws all its candidates at once.")
    cost = np.median(costs / first, axis=0)
    wide = np.median(spreads / np.maximum(spreads[:, :1], 1e-12), axis=0)
    iterations, several = len(cost), bool(spreads[:, 0].max() > 0)
    before = iterations - max(1, iterations // 4)
    gain = cost[0] - cost.min()
    late = float((cost[before - 1] - cost[-1]) / gain) if gain > 0 else 0.0
    early = next((step for step, value in enumerate(wide, start=1) if several and value < COLLAPSED), None)
    numbers = {"cost_left": float(cost[-1]), "late_gain": late} | ({"spread_left": float(wide[-1])} if several else {})
    stuck = early is not None and early <= iterations // 2
    verdict: Verdict = "ill" if gain <= 0 else "watch" if late > FALLING or stuck else "sound"
    sentence = (
        f"In {iterations} iterations the cheapest candidates' cost fell to {cost[-1]:.0%} of the first iteration's"
    )
    sentence += f", their spread to {wide[-1]:.0%}" if several else ""
    sentence += f"; the last quarter of the iterations brought {late:.0%} of the gain."
    steps = list(range(1, iterations + 1))
    lines = {"cost of the cheapest": (steps, cost.tolist())} | ({"spread": (steps, wide.tolist())} if several else {})
    picture = Curves("search by iteration, of the first (median episode)", "iteration", lines)
    return Finding("Planner convergence", verdict, sentence, _mend(gain <= 0, stuck, late), numbers, [picture])


def _mend(lost: bool, stuck: bool, late: float) -> str:
    if lost:
        return (
            "The search finds nothing cheaper than where it begins: more samples, another planner.spread or planner.lr."
        )
    if stuck:
        return "The candidates are one before half of the iterations: more planner.elites, or planner.min_spread."
    return "The cost still falls: more planner.iterations pay." if late > FALLING else ""
