"""Figures as SVG text that stands in a page by itself: the same data give the same characters."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from worldgrid.stats import Interval

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's eight colours that the colour-blind tell apart (Color Universal Design, 2008)."""
_LINES = ("-", "--", ":", "-.")
NAMED = 12
"""Most groups that a legend names."""
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Shapes tell groups apart where colours do not: in grey print, to the colour-blind."""
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
}


@dataclass(frozen=True)
class Bar:
    """A label of an axis: its pooled rate with interval, and the rates of its trials."""

    label: str
    rate: float
    interval: Interval
    trials: Sequence[float]


def bars(axis: str, given: Sequence[Bar]) -> str:
    """Success rate of each label with its interval; a dot per trial."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"bars {axis}"}):
        figure = Figure(figsize=(min(max(3.2, 1.0 + 0.9 * len(given)), 10.0), 3.0), layout="constrained")
        axes = figure.add_subplot()
        for place, bar in enumerate(given):
            error = [[bar.rate - bar.interval.low], [bar.interval.high - bar.rate]]
            colour = PALETTE[place % len(PALETTE)]
            axes.bar(place, bar.rate, width=0.6, color=colour, alpha=0.55, edgecolor=colour)
            axes.errorbar(place, bar.rate, yerr=error, color="black", capsize=5, linewidth=1.3)
            spread = [place + 0.2 * _offset(index, len(bar.trials)) for index in range(len(bar.trials))]
            axes.plot(spread, bar.trials, "o", markersize=4, color="white", markeredgecolor="black", linestyle="none")
        slanted = max(len(bar.label) for bar in given) > 12 or len(given) > 10
        labels = [f"{bar.label}\n{100 * bar.rate:.1f} %" for bar in given]
        axes.set_xticks(range(len(given)), labels, rotation=20 if slanted else 0)
        axes.set(ylim=(0, 1.04), ylabel="success rate", title=axis)
        axes.grid(axis="y", alpha=0.3)
        return _svg(figure)


def _offset(index: int, n: int) -> float:
    """Places in [-1, 1] that keep dots of equal height apart."""
    return 2 * (index + 0.5) / n - 1


Line = tuple[Sequence[float], Sequence[float]]
"""Where along the horizontal axis, and how high."""


def curves(title: str, groups: Mapping[str, Sequence[Line]], along: str = "training step", rates: bool = False) -> str:
    """Lines, those of a group in one colour; a logarithmic axis for positive values, 0 to 1 for `rates`."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"curves {title}"}):
        figure = Figure(figsize=(5.0, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for place, (label, lines) in enumerate(groups.items()):
            colour, dashes = PALETTE[place % len(PALETTE)], _LINES[place // len(PALETTE) % len(_LINES)]
            for index, (steps, values) in enumerate(lines):
                (line,) = axes.plot(steps, values, color=colour, linestyle=dashes, label=label if index == 0 else None)
                line.set_marker("." if len(steps) < 20 else "")
        if rates:
            axes.set_ylim(0, 1.04)
        elif all(value > 0 for lines in groups.values() for _, values in lines for value in values):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=along, title=title)
        axes.grid(alpha=0.3)
        _legend(axes, len(groups))
        return _svg(figure)


@dataclass(frozen=True)
class Dot:
    """A success rate with its interval, somewhere along the horizontal axis."""

    along: float
    rate: float
    interval: Interval


def scatter(title: str, groups: Mapping[str, Sequence[Dot]], along: str) -> str:
    """Success rates with intervals, each group with its colour and mark; a logarithmic axis for what spans decades."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"scatter {title}"}):
        figure = Figure(figsize=(5.0, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for place, (label, dots) in enumerate(groups.items()):
            colour, mark = PALETTE[place % len(PALETTE)], _MARKS[place % len(_MARKS)]
            places, rates = [dot.along for dot in dots], [dot.rate for dot in dots]
            error = [[dot.rate - dot.interval.low for dot in dots], [dot.interval.high - dot.rate for dot in dots]]
            axes.errorbar(places, rates, yerr=error, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.5)
            axes.plot(places, rates, mark, markersize=5, color=colour, markeredgecolor="black", label=label)
        everywhere = [dot.along for dots in groups.values() for dot in dots]
        if min(everywhere) > 0 and max(everywhere) > 8 * min(everywhere):
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set(xlabel=along, ylabel="success rate", title=title, ylim=(0, 1.04))
        axes.grid(alpha=0.3)
        _legend(axes, len(groups))
        return _svg(figure)


def _legend(axes: Axes, n: int) -> None:
    if 1 < n <= NAMED:
        axes.legend(fontsize=8, frameon=False, ncols=1 if n <= 6 else 2)


def _svg(figure: Figure) -> str:
    """The bare `<svg>` element: no prolog, no addresses, no names that two figures of a page would share."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True)
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::xlink)?="[^"]*"|id="[A-Za-z.\d]+_\d+")', "", text)
    return text.replace("xlink:href", "href").strip()
