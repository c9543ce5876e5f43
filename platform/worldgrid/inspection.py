"""Inspection: all diagnoses of a trial, as a page that needs nothing but itself, its pictures, and numbers as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from worldgrid.diagnoses import DIAGNOSES, Finding, diagnosis
from worldgrid.diagnoses.subject import Subject
from worldgrid.drawings import draw
from worldgrid.spec import JSON, ConfigError
from worldgrid.store import Store, write_whole


@dataclass(frozen=True)
class Inspected:
    """What was found by one diagnosis."""

    name: str
    finding: Finding
    pictures: Sequence[tuple[str, bytes]]
    """Title and PNG of each."""


def inspect(subject: Subject, names: Sequence[str], tell: Callable[[str], None] = lambda name: None) -> list[Inspected]:
    """The diagnoses of these names, all without any, in the order of the walk; `tell` hears of each before it begins.

    One that the trial's data do not allow is unknown and says why.
    """
    for name in names:
        diagnosis(name)
    return [_one(subject, name, tell) for name in DIAGNOSES if not names or name in names]


def _one(subject: Subject, name: str, tell: Callable[[str], None]) -> Inspected:
    tell(name)
    try:
        finding = diagnosis(name)(subject)
    except ConfigError as error:
        finding = Finding(name.capitalize(), "unknown", f"Not measured: {error}.")
    return Inspected(name, finding, [(picture.title, draw(picture)) for picture in finding.pictures])


def inspection_folder(store: Store, trial: str, plan: int) -> Path:
    """Where the page of a trial lies, with its pictures and `inspect.json`; later plans have folders of their own."""
    folder = store.root / "inspections" / trial
    return folder / f"plan-{plan}" if plan else folder


def write(subject: Subject, found: Sequence[Inspected]) -> Path:
    """Write the page, the pictures and the numbers; returns the page's path."""
    folder = inspection_folder(subject.store, subject.trial.key, subject.plan)
    for file, _, content in _files(found):
        write_whole(folder / file, content)
    write_whole(folder / "inspect.json", json.dumps(_numbers(subject, found), indent=1).encode())
    write_whole(folder / "inspect.html", _page(subject, found).encode())
    return folder / "inspect.html"


def _files(found: Sequence[Inspected]) -> Iterator[tuple[str, str, bytes]]:
    """File name, title and content of every picture."""
    for one in found:
        for place, (title, content) in enumerate(one.pictures, start=1):
            yield f"{one.name}-{place}.png", title, content


def _numbers(subject: Subject, found: Sequence[Inspected]) -> JSON:
    """What was found, as JSON values; what is not finite is null."""
    findings = {
        one.name: {
            "verdict": one.finding.verdict,
            "sentence": one.finding.sentence,
            "mend": one.finding.mend,
            "numbers": {name: value if math.isfinite(value) else None for name, value in one.finding.numbers.items()},
        }
        for one in found
    }
    return {
        "trial": subject.trial.key,
        "evaluation": subject.evaluation.key,
        "episodes": list(subject.episodes),
        "plan": subject.plan,
        "settings": subject.trial.settings,
        "findings": findings,
    }


def _page(subject: Subject, found: Sequence[Inspected]) -> str:
    return _template().render(
        trial=subject.trial,
        evaluation=subject.evaluation,
        episodes=subject.episodes,
        plan=subject.plan,
        found=found,
        encoded=lambda content: base64.b64encode(content).decode(),
    )


@cache
def _template() -> Template:
    loader = PackageLoader("worldgrid")
    lines = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return lines.get_template("inspect.html.j2")
