"""Findings: what the study says in words, each as comparisons that a grid can make.

Source: arXiv 2512.24497 v1, the twelve qualitative results of its sections on planners and design choices. Labels are
those of the axes of experiments/paper and experiments/paper/small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

MARGIN = 0.05
"""Success that a choice may at most be ahead where the study sees no gain: it holds less than 5 points for noise."""

Says = Literal["better", "no better"]


@dataclass(frozen=True)
class Claim:
    """One label of an axis against another, everything else equal, in one place."""

    axis: str
    first: str
    says: Says
    """What the study says of the first label: it is better, or it is not (by `MARGIN`)."""
    second: str
    place: str
    """`wall`, `maze`, `push-t` or `metaworld`."""
    within: Mapping[str, str] = field(default_factory=dict)
    """Dotted setting -> value, of the trials it is about."""

    @property
    def sentence(self) -> str:
        """The claim in words."""
        aside = "".join(f", {path} {value}" for path, value in self.within.items())
        return f"{self.axis}: {self.first} is {self.says} than {self.second} ({self.place}{aside})"


@dataclass(frozen=True)
class Finding:
    """A statement of the study."""

    number: int
    text: str
    claims: tuple[Claim, ...] = ()
    open: str = ""
    """What of it no comparison here can tell."""


PLANE = ("wall", "maze", "push-t")
"""The places of two dimensions."""
SIMULATED = (*PLANE, "metaworld")
LOSS = 11
"""The finding about validation losses: it is judged by order, not by an axis."""


def _claims(axis: str, first: str, says: Says, seconds: str, *places: str, **within: str) -> Iterator[Claim]:
    """`first` against each of the `seconds` (names with blanks between them), in each place."""
    paths = {_WITHIN[name]: value for name, value in within.items()}
    for second in seconds.split():
        for place in places:
            yield Claim(axis, first, says, second, place, paths)


_WITHIN = {"norm": "objective.norm", "planner": "planner.kind"}


def _no_gain(axis: str, firsts: str, second: str, *places: str, **within: str) -> Iterator[Claim]:
    """Each of the `firsts` is no better than `second`."""
    for first in firsts.split():
        yield from _claims(axis, first, "no better", second, *places, **within)


_DROID = "DROID and RoboCasa are not compared here."

FINDINGS = (
    Finding(
        1,
        "CEM with the squared distance is best overall; the squared distance is at least as good as the absolute one.",
        (
            *_claims("planner", "cem", "better", "nevergrad gd", *PLANE, norm="l2"),
            *(
                claim
                for planner in ("cem", "nevergrad", "gd")
                for claim in _no_gain("norm", "l1", "l2", *SIMULATED, planner=planner)
            ),
        ),
        _DROID,
    ),
    Finding(
        2,
        "Gradient descent is best on Metaworld, where the cost is smooth, and fails where it has local minima.",
        (
            *_claims("planner", "gd", "better", "cem", "metaworld", norm="l2"),
            *_claims("planner", "cem", "better", "gd", *PLANE, norm="l2"),
        ),
        "Its Adam is gradient descent. " + _DROID,
    ),
    Finding(
        3,
        "Nevergrad is weaker than CEM in navigation, Push-T and Metaworld, as good on DROID, better on RoboCasa.",
        tuple(_claims("planner", "cem", "better", "nevergrad", *SIMULATED, norm="l2")),
        _DROID,
    ),
    Finding(
        4,
        "Training on two steps helps; more than two hurt in simulation; DROID is best at six.",
        (
            *_claims("rollout", "K=2", "better", "K=1", *SIMULATED),
            *_no_gain("rollout", "K=3 K=6", "K=2", *SIMULATED),
        ),
        _DROID,
    ),
    Finding(
        5,
        "Proprioception helps wherever it can be used.",
        tuple(_claims("proprio", "on", "better", "off", *SIMULATED)),
    ),
    Finding(
        6,
        "Two frames of context are much better than one, three are best in simulation, more hurt.",
        (
            *_claims("context", "W=2", "better", "W=1", *SIMULATED),
            *_no_gain("context", "W=2 W=5 W=7", "W=3", *SIMULATED),
        ),
        "That DROID is best at five. " + _DROID,
    ),
    Finding(
        7,
        "DINO encoders are much better than V-JEPA's; DINOv3 is better than DINOv2 on photographs alone.",
        (
            *_claims("encoder", "DINOv2-L", "better", "V-JEPA-L V-JEPA2-L", *SIMULATED),
            *_no_gain("encoder", "DINOv3-L", "DINOv2-L", *SIMULATED),
        ),
        "Encoders that learn here answer another question.",
    ),
    Finding(
        8,
        "AdaLN is best on average by a little; Metaworld prefers channels with learned positions, Wall channels to a "
        "token; starting at zero is worse on Push-T and in the maze.",
        (
            *_no_gain("architecture", "sincos+feature RoPE+sequence RoPE+feature", "AdaLN", *PLANE),
            *_claims("architecture", "sincos+feature", "better", "AdaLN", "metaworld"),
            *_claims("architecture", "RoPE+feature", "better", "RoPE+sequence", "wall"),
            *_claims("architecture", "AdaLN", "better", "AdaLN-zero", "maze", "push-t"),
        ),
        _DROID,
    ),
    Finding(
        9,
        "Larger models gain nothing in simulation, and do on DROID and RoboCasa.",
        tuple(_no_gain("size", "B L", "S", *SIMULATED)),
        "That distances between near and far frames are ten times closer with ViT-L. " + _DROID,
    ),
    Finding(
        10,
        "Six blocks are best in simulation, three on Wall and in the maze, twelve on DROID.",
        (
            *_no_gain("depth", "6 9 12", "3", "wall", "maze"),
            *_no_gain("depth", "2 4", "1", "wall", "maze"),  # the small grid's: deeper brings nothing in the plane
            *_claims("depth", "6", "better", "3", "push-t", "metaworld"),
            *_no_gain("depth", "9 12", "6", "push-t", "metaworld"),
        ),
        _DROID,
    ),
    Finding(LOSS, "A lower validation loss does not mean more success, from model to model."),
    Finding(
        12,
        "Crop augmentation hurts; video encoders see each frame twice, by itself; grasps are imagined that fail.",
        open="No grid here asks it.",
    ),
)
