"""Verdicts: which of the study's findings some grids reproduce, which they contradict, and what stays undecided."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worldgrid.answers import Comparison, Question, compare
from worldgrid.findings import FINDINGS, LOSS, MARGIN, Claim, Finding
from worldgrid.results import Grid, Trial, is_repetition

Verdict = Literal["reproduced", "contradicted", "undecided", "not measured"]
Pairs = list[tuple[Trial, Trial]]
ERROR = "validation/rollout_error_"
FRAMESKIP = 5
"""Of all simulated places of the study; other trials are not set beside it."""
_PLAYED = ("planner", "objective", "mpc")
"""Sections of a trial that must be equal where the losses of two models are compared with their success."""
_PLACES = {"wall": "wall", "pointmaze": "maze", "pusht": "push-t", "metaworld": "metaworld"}


@dataclass(frozen=True)
class Told:
    """A claim and what the episodes say of it."""

    claim: str
    found: Comparison
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    """A finding and what came of its claims."""

    finding: Finding
    claims: int
    """All of them, measured or not."""
    told: tuple[Told, ...]
    """The measured ones."""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Contradicted where one claim is, reproduced where every measured claim is."""
        each = {one.verdict for one in self.told}
        if not each:
            return "not measured"
        if "contradicted" in each:
            return "contradicted"
        return "reproduced" if each == {"reproduced"} else "undecided"

    @property
    def sentence(self) -> str:
        """The verdict, and on how much it stands."""
        counts = {verdict: sum(one.verdict == verdict for one in self.told) for verdict in _COUNTED}
        parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
        measured = f"{len(self.told)} of {self.claims} comparisons measured" + (
            f": {', '.join(parts)}" if parts else ""
        )
        return f"{self.verdict} ({self.note or measured})"


_COUNTED: tuple[Verdict, ...] = ("reproduced", "contradicted", "undecided")


def judge(grids: Sequence[Grid]) -> list[Judgement]:
    """The twelve findings, in their order. p values of one finding are corrected for their number."""
    return [_judge_order(grids, one) if one.number == LOSS else _judge(grids, one) for one in FINDINGS]


def _judge(grids: Sequence[Grid], finding: Finding) -> Judgement:
    asked = [(claim, matched) for claim in finding.claims if (matched := pairs_of(grids, claim))]
    found = compare([Question(claim.first, claim.second, matched, claim.axis) for claim, matched in asked])
    told = [Told(claim.sentence, one, decide(claim, one)) for (claim, _), one in zip(asked, found, strict=True) if one]
    return Judgement(finding, len(finding.claims), tuple(told))


def decide(claim: Claim, found: Comparison) -> Verdict:
    """A claim of `better` needs a difference; one of `no better` an interval that ends below `MARGIN`."""
    if claim.says == "better":
        return {"better": "reproduced", "worse": "contradicted", "no difference": "undecided"}[found.verdict]  # type: ignore[return-value]
    if found.verdict == "better":
        return "contradicted"
    return "reproduced" if found.effect.interval.high < MARGIN else "undecided"


def pairs_of(grids: Sequence[Grid], claim: Claim) -> Pairs:
    """Finished trials that differ in the claim's labels alone, each two of them once, from whichever grid has them."""
    found: dict[tuple[str, str], tuple[Trial, Trial]] = {}
    for grid in grids:
        if {claim.first, claim.second} <= set(grid.axes.get(claim.axis, ())):
            for one in grid.having(claim.axis, claim.first):
                two = grid.at({**one.labels, claim.axis: claim.second})
                if two and one.finished and two.finished and place_of(one) == claim.place and _is(one, claim.within):
                    found[one.key, two.key] = (one, two)
    return list(found.values())


def place_of(trial: Trial) -> str | None:
    """What the study calls the trial's env; None where it is none of its."""
    env = trial.settings["env"]
    return _PLACES.get(env["kind"]) if env.get("frameskip") == FRAMESKIP else None


def is_small(trial: Trial) -> bool:
    """Whether a trial is not at the study's size: its encoder is none of the pretrained ones."""
    return trial.settings["encoder"]["kind"] not in ("timm", "vjepa")


def _is(trial: Trial, within: Mapping[str, str]) -> bool:
    return all(_at(trial.settings, path) == value for path, value in within.items())


def _at(settings: Any, path: str) -> Any:
    for name in path.split("."):
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings


def _judge_order(grids: Sequence[Grid], finding: Finding) -> Judgement:
    """A lower loss with less success is an example; examples to the contrary decide nothing.

    Losses are compared between predictors of the same latents, played alike, where one is lower for every seed.
    """
    questions = list(_ordered(grids))
    found = [one for one in compare(questions) if one]
    apart = [one for one in found if one.verdict != "no difference"]
    told = tuple(
        Told(f"{one.first} has the lower error, and less success than {one.second}", one, "reproduced")
        for one in apart
        if one.verdict == "worse"
    )
    agree = len(apart) - len(told)
    note = f"of {len(found)} pairs of models, {len(apart)} differ in success: {len(told)} against the order of their "
    note += f"errors, {agree} with it"
    if not told and found:
        kept = tuple(Told(f"{one.first} has the lower error", one, "undecided") for one in apart[:1] or found[:1])
        return Judgement(finding, len(questions), kept, note)
    return Judgement(finding, len(questions), told, note if found else "")


def _ordered(grids: Sequence[Grid]) -> Iterator[Question]:
    """Every two models of which one has the lower error with every seed that both have."""
    models: dict[tuple[str, str], dict[str, Trial]] = {}
    for grid in grids:
        for trial in grid.trials:
            if trial.finished and place_of(trial) and _error(trial) is not None:
                chosen = [f"{axis}={label}" for axis, label in trial.labels.items() if not is_repetition(axis)]
                alike = [trial.steps.get("encode"), *(trial.settings[name] for name in _PLAYED)]
                model = models.setdefault((str(alike), ", ".join(chosen) or grid.name), {})
                model[str(trial.settings["train"]["seed"])] = trial
    distinct = {frozenset(trial.key for trial in model.values()): name for name, model in reversed(models.items())}
    models = {name: models[name] for name in reversed(distinct.values())}
    for (played, first), (other, second) in itertools.permutations(models, 2):
        if played == other:
            one, two = models[played, first], models[other, second]
            pairs = [(one[seed], two[seed]) for seed in one if seed in two and one[seed].key != two[seed].key]
            if pairs and all((_error(left) or 0) < (_error(right) or 0) for left, right in pairs):
                yield Question(first, second, pairs)


def _error(trial: Trial) -> float | None:
    """Validation error of the longest rollout."""
    metrics = trial.trained.metrics if trial.trained else {}
    names = sorted((name for name in metrics if name.startswith(ERROR)), key=lambda name: (len(name), name))
    return metrics[names[-1]] if names else None
