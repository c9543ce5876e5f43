"""Study: several grids beside the published numbers, and a verdict on each of the study's findings: one HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worldgrid import figures, wording
from worldgrid.answers import Rate
from worldgrid.reference import Published
from worldgrid.results import Grid, Trial, report_folder
from worldgrid.store import Store, write_whole
from worldgrid.verdicts import Judgement, is_small, judge, place_of

_NAMES = {"adaln": "ours", "feature": "dino-wm"}
"""Conditioning -> the study's model with it, where the rest is that model's too."""
_STEPS = {"ours": 2, "dino-wm": 1}
"""The study's models -> the steps they were trained to roll out."""
_PLANNERS = {"cem": "cem", "nevergrad": "ng", "gd": "gd"}


@dataclass(frozen=True, eq=False)
class Beside:
    """A published success rate and the trials here that ask the same."""

    published: Published
    trials: tuple[Trial, ...]
    rate: Rate

    @property
    def name(self) -> str:
        """What was measured, in the reference's words."""
        row = self.published
        return f"{row.environment}, {row.model}, {row.planner} {row.norm}"


def beside(grids: Sequence[Grid], published: Sequence[Published]) -> list[Beside]:
    """The published success rates that finished trials can be set beside, seeds and checkpoints pooled."""
    found: dict[tuple[str, str, str, str], dict[str, Trial]] = {}
    for trial in (trial for grid in grids for trial in grid.trials if trial.finished):
        if key := _asked(trial):
            found.setdefault(key, {})[trial.key] = trial
    rows = []
    for row in published:
        trials = tuple(found.get((row.environment, row.model, row.planner, row.norm), {}).values())
        if row.quantity == "success_rate" and trials:
            rows.append(Beside(row, trials, Rate.of(trials)))
    return rows


def _asked(trial: Trial) -> tuple[str, str, str, str] | None:
    """Environment, model, planner and norm of a trial in the reference's words; None where the study has no such row.

    A model is the study's where conditioning, rollout steps and proprioception are; sizes may be smaller.
    """
    predictor, place = trial.settings["predictor"], place_of(trial)
    if place == "metaworld":
        place = {"reach": "metaworld-reach", "reach-wall": "metaworld-reach-wall"}.get(trial.settings["env"]["task"])
    model = _NAMES.get(predictor.get("conditioning", ""))
    planner = _PLANNERS.get(trial.settings["planner"]["kind"])
    if not (place and model and planner):
        return None
    same = trial.settings["train"]["rollout"] == _STEPS[model] and predictor["proprio"] != "none"
    return (place, model, planner, trial.settings["objective"]["norm"]) if same else None


def write(store: Store, name: str, grids: Sequence[Grid], published: Sequence[Published]) -> Path:
    """Write `study.html`, `findings.md` and `findings.csv` into the report folder `name`; returns the page's path."""
    judged, rows, out = judge(grids), beside(grids, published), report_folder(store, name)
    small = any(is_small(trial) for grid in grids for trial in grid.trials if place_of(trial))
    write_whole(out / "findings.csv", to_csv(judged).encode())
    write_whole(out / "findings.md", to_markdown(judged, rows, small=small).encode())
    write_whole(out / "study.html", _page(name, grids, judged, rows, small=small).encode())
    return out / "study.html"


SMALL = (
    "At small scale: encoders learned here, small frames, small predictors. What holds here need not hold at the "
    "study's size, nor the other way round."
)


def _page(name: str, grids: Sequence[Grid], judged: Sequence[Judgement], rows: Sequence[Beside], *, small: bool) -> str:
    pairs = [
        figures.Pair(
            one.name, one.rate.rate, one.rate.interval, one.published.value / 100, (one.published.deviation or 0) / 100
        )
        for one in rows
    ]
    lines = Environment(
        loader=PackageLoader("worldgrid"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return lines.get_template("study.html.j2").render(
        name=name,
        grids=grids,
        judged=judged,
        rows=rows,
        small=SMALL if small else "",
        figure=Markup(figures.side_by_side("success rates", pairs)) if pairs else "",  # noqa: S704
        percent=wording.percent,
        span=wording.span,
    )


def to_markdown(judged: Sequence[Judgement], rows: Sequence[Beside], *, small: bool) -> str:
    """The verdicts and the numbers as two tables."""
    lines = [*([SMALL, ""] if small else []), "| | finding | here |", "| --- | --- | --- |"]
    lines += [f"| {one.finding.number} | {one.finding.text} | {one.sentence} |" for one in judged]
    if rows:
        lines += ["", "| | here [95 %] | published (std) |", "| --- | --- | --- |"]
        lines += [
            f"| {one.name} | {wording.percent(one.rate.rate)} {wording.span(one.rate.interval)} "
            f"of {one.rate.episodes} episodes | {one.published.value:g} % ({one.published.deviation or '-'}) |"
            for one in rows
        ]
    return "\n".join(lines) + "\n"


COLUMNS = ("finding", "verdict", "claim", "claim_verdict", "difference", "low", "high", "p_holm", "pairs", "trainings")


def to_csv(judged: Sequence[Judgement]) -> str:
    """A row for every measured claim, and one for every finding without any."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in judged:
        for told in one.told:
            effect = told.found.effect
            numbers = (effect.difference, *effect.interval, told.found.p, told.found.paired.n, effect.trainings)
            rows.writerow((one.finding.number, one.verdict, told.claim, told.verdict, *numbers))
        if not one.told:
            rows.writerow((one.finding.number, one.verdict))
    return text.getvalue()
