"""Two trials or two grids side by side: what differs in their settings, which trials belong together, who won what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldgrid.answers import Comparison, Question, compare
from worldgrid.results import Grid, Trial, grid_names, read_grid
from worldgrid.spec import JSON, ConfigError, suggest
from worldgrid.step import canonical
from worldgrid.store import Store


def find_trial(store: Store, key: str) -> Trial:
    """The trial of a key, or of its beginning, in any grid of the store; raises ConfigError unless one fits."""
    grids = [read_grid(store, name) for name in grid_names(store)]
    found = {trial.key: trial for grid in grids for trial in grid.trials if trial.key.startswith(key)}
    if len(found) != 1:
        every = [trial.key for grid in grids for trial in grid.trials]
        what = f"fits {len(found)} trials: {', '.join(sorted(found))}" if found else f"no trial{suggest(key, every)}"
        raise ConfigError(f"store {store.root}: '{key}': {what}")
    return next(iter(found.values()))


def differing(first: JSON, second: JSON) -> dict[str, tuple[str, str]]:
    """Dotted path -> the two values, of all settings that are not the same; empty text where one has none."""
    left, right = _dotted(first), _dotted(second)
    paths = [*left, *(path for path in right if path not in left)]
    return {
        path: (left.get(path, ""), right.get(path, "")) for path in paths if left.get(path, "") != right.get(path, "")
    }


def _dotted(settings: JSON, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _dotted(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value if isinstance(value, str) else canonical(value)
    return found


def match_grids(first: Grid, second: Grid) -> list[tuple[Trial, Trial]]:
    """The trials of two grids that have the same labels on all axes they share, where that names one of each.

    Raises ConfigError where no two belong together.
    """
    shared = [axis for axis in first.axes if axis in second.axes]
    left, right = _unique(first, shared), _unique(second, shared)
    pairs = [(trial, right[labels]) for labels, trial in left.items() if labels in right]
    if not pairs:
        raise ConfigError(
            f"grids '{first.name}' and '{second.name}' have no trials with the same labels on their shared axes "
            f"({', '.join(shared) or 'none'}); two trials can be compared by their keys"
        )
    return pairs


def _unique(grid: Grid, axes: Sequence[str]) -> dict[tuple[str, ...], Trial]:
    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in grid.trials:
        groups.setdefault(tuple(trial.labels[axis] for axis in axes), []).append(trial)
    return {labels: trials[0] for labels, trials in groups.items() if len(trials) == 1}


def compare_grids(first: Grid, second: Grid) -> tuple[Comparison | None, list[tuple[Trial, Comparison]]]:
    """All matched trials together, and each of them by itself (corrected for their number)."""
    pairs = match_grids(first, second)
    (whole,) = compare([Question(first.name, second.name, pairs)])
    each = compare([Question(first.name, second.name, [pair]) for pair in pairs])
    return whole, [(trial, one) for (trial, _), one in zip(pairs, each, strict=True) if one]


@dataclass(frozen=True, eq=False)
class Disagreement:
    """One start/goal pair that only one of two trials solved."""

    axis: str
    winner: Trial
    loser: Trial
    episodes: tuple[int, int]
    """The winner's and the loser's number of it."""


def disagreements(grid: Grid, comparisons: Sequence[Comparison], most: int = 2) -> list[Disagreement]:
    """The first win of either side, for the `most` axes whose choices differ most; from the baseline's cell if any."""
    found = []
    ranked = sorted((one for one in comparisons if one.axis), key=lambda one: -abs(one.effect.difference))
    widest = {one.axis: one for one in reversed(ranked)}
    for one in sorted(widest.values(), key=lambda one: -abs(one.effect.difference))[:most]:
        cells = [{**trial.labels} for trial in (grid.showcase, *grid.trials)]
        sides = ((grid.at({**cell, one.axis: one.first}), grid.at({**cell, one.axis: one.second})) for cell in cells)
        finished = [(left, right) for left, right in sides if left and right and left.finished and right.finished]
        if finished:
            left, right = finished[0]
            found += [*_first_win(one.axis, left, right), *_first_win(one.axis, right, left)]
    return found


def _first_win(axis: str, winner: Trial, loser: Trial) -> list[Disagreement]:
    one, two = winner.final.episodes, loser.final.episodes
    _, left, right = np.intersect1d(one.seed, two.seed, return_indices=True)
    places = np.flatnonzero(one.success[left] & ~two.success[right])
    if not len(places):
        return []
    place = places[np.argmin(one.episode[left][places])]
    return [Disagreement(axis, winner, loser, (int(one.episode[left[place]]), int(two.episode[right[place]])))]
