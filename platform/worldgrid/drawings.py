"""Pictures of diagnoses as PNG files: lines, maps of a plane, strips of frames. The same data give the same bytes."""

from __future__ import annotations

import io
from typing import assert_never

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from worldgrid.diagnoses import Curves, Maps, Picture, Strip
from worldgrid.figures import PALETTE

DOTS = 110
"""Dots per inch of lines and maps."""
SIDE = 0.8
"""Inches of a frame's side in a strip."""
_STYLE: dict[str, object] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
}


def draw(picture: Picture) -> bytes:
    """A PNG."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        match picture:
            case Curves():
                return _png(_curves(picture))
            case Maps():
                return _png(_maps(picture))
            case Strip():
                return _png(_strip(picture))
            case _:
                assert_never(picture)


def _curves(picture: Curves) -> Figure:
    figure = Figure(figsize=(4.6, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for place, (label, (along, high)) in enumerate(picture.lines.items()):
        mark = "." if len(along) < 20 else ""
        axes.plot(along, high, marker=mark, color=PALETTE[place % len(PALETTE)], label=label or None)
    if picture.logarithmic:
        axes.set_yscale("log")
    elif axes.get_ylim()[0] < 0.5 * axes.get_ylim()[1]:  # what lies far above zero does not have it on its axis
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    whole = all(float(where).is_integer() for along, _ in picture.lines.values() for where in along)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axes.set(xlabel=picture.along, ylabel=picture.height)
    axes.set_title(picture.title, fontsize=9)
    axes.grid(alpha=0.3)
    if any(picture.lines):
        axes.legend(fontsize=8, frameon=False)
    return figure


def _maps(picture: Maps) -> Figure:
    figure = Figure(figsize=(3.4 * len(picture.maps), 2.9), layout="constrained")
    places = np.linspace(-picture.extent, picture.extent, len(next(iter(picture.maps.values()))))
    for index, (label, values) in enumerate(picture.maps.items()):
        axes = figure.add_subplot(1, len(picture.maps), index + 1, aspect="equal")
        drawn = axes.contourf(places, places, values, levels=16, cmap="viridis")
        axes.plot(0, 0, "+", color="white", markersize=10, markeredgewidth=2)
        axes.set_title(label, fontsize=9)
        axes.set(xlabel=picture.axes[0], ylabel=picture.axes[1] if index == 0 else "")
        figure.colorbar(drawn, ax=axes, shrink=0.85)
    return figure


def _strip(picture: Strip) -> Figure:
    columns = max(len(frames) for frames in picture.rows.values())
    size = (SIDE * columns + 1.1, (SIDE + 0.08) * len(picture.rows) + 0.35)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01))
    grid = figure.subplots(len(picture.rows), columns, squeeze=False)
    for row, (label, frames) in zip(grid, picture.rows.items(), strict=True):
        for step, axes in enumerate(row):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if step < len(frames):
                axes.imshow(frames[step], interpolation="nearest")
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    for step, axes in enumerate(grid[0]):
        axes.set_title("start" if step == 0 else f"+{step}", fontsize=8)
    return figure


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
    return file.getvalue()
