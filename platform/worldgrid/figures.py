"""Figures as SVG text that stands in a page by itself: the same data give the same characters."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from worldgrid.stats import Interval

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's eight colours that the colour-blind tell apart (Color Universal Design, 2008)."""
_LINES = ("-", "--", ":", "-.")
NAMED = 12
"""Most groups that a legend names."""
_COLUMNS = 2
"""Names in a row of it."""
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
        figure = _figure(len(groups))
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
            _plain_ticks(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=along, title=title)
        axes.grid(alpha=0.3)
        _legend(figure, len(groups))
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
        figure = _figure(len(groups))
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
            _plain_ticks(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set(xlabel=along, ylabel="success rate", title=title, ylim=(0, 1.04))
        axes.grid(alpha=0.3)
        _legend(figure, len(groups))
        return _svg(figure)


class Pair(NamedTuple):
    """One rate of ours and the published one, with what each may be off."""

    label: str
    ours: float
    interval: Interval
    theirs: float
    deviation: float


def side_by_side(title: str, given: Sequence[Pair]) -> str:
    """Ours with intervals above theirs with standard deviations, a line for each label."""
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"pairs {title}"}):
        figure = Figure(figsize=(6.5, 1.4 + 0.36 * len(given)), layout="constrained")
        axes = figure.add_subplot()
        ours, theirs = [pair.ours for pair in given], [pair.theirs for pair in given]
        reach = [[abs(pair.ours - pair.interval[end]) for pair in given] for end in (0, 1)]
        spread = [pair.deviation for pair in given]
        for offset, rates, error, colour, mark, name in (
            (-0.15, ours, reach, PALETTE[0], "o", "here, 95 %"),
            (0.15, theirs, [spread, spread], PALETTE[1], "D", "published, one standard deviation"),
        ):
            places = [line + offset for line in range(len(given))]
            axes.errorbar(rates, places, xerr=error, fmt=mark, color=colour, markersize=5, capsize=3, label=name)
        axes.set_yticks(range(len(given)), [pair.label for pair in given])
        axes.set(xlim=(0, 1.0), xlabel="success rate", ylim=(len(given) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.3)
        figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=2)
        return _svg(figure)


def _figure(groups: int) -> Figure:
    """A figure for so many groups, with room for the legend under its axes."""
    rows = -(-groups // _COLUMNS) if 1 < groups <= NAMED else 0
    return Figure(figsize=(5.0, 3.0 + 0.2 * rows), layout="constrained")


def _legend(figure: Figure, n: int) -> None:
    if 1 < n <= NAMED:
        figure.legend(fontsize=8, frameon=False, ncols=min(n, _COLUMNS), loc="outside lower center")


def _plain_ticks(axis: Axis) -> None:
    """Numbers as people write them, few enough to be read, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _svg(figure: Figure) -> str:
    """The bare `<svg>` element: no prolog, no addresses, no names that two figures of a page would share."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")), transparent=True)
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::xlink)?="[^"]*"|id="[A-Za-z.\d]+_\d+")', "", text)
    return text.replace("xlink:href", "href").strip()
