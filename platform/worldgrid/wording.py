"""Numbers as people read them: the same in the terminal, on the page and in MLflow."""

from __future__ import annotations

from worldgrid.stats import Interval


def percent(rate: float) -> str:
    """A rate for people, `92.2 %`."""
    return f"{100 * rate:.1f} %"


def points(difference: float) -> str:
    """A difference of rates for people, `+4.7 points`."""
    return f"{100 * difference:+.1f} points"


def span(interval: Interval, form: str = "%.1f") -> str:
    """An interval of rates for people, in percent."""
    return f"[{form % (100 * interval.low)}, {form % (100 * interval.high)}]"


def probability(p: float) -> str:
    """A p value for people, never rounded to 0."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
