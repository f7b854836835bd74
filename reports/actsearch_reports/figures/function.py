"""One function: f and f′ with its least and greatest value and its kinks."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actsearch.expression import Expression
from actsearch.properties import Properties
from actsearch_reports.figures.style import BLUE, GREY, INK, SMALL, TEXT, VERMILION, fit, fit_formula

X_LIMIT = 6.0
Y_LIMIT = 6.0
"""The plot shows at most [-6, 6] both ways."""
POINTS = 2401


def draw(expression: Expression, properties: Properties, width: float) -> Figure:
    """f and f′ over [-6, 6], β at its initial values.

    Args:
        expression: what is drawn.
        properties: its properties.
        width: inches.
    """
    figure = Figure(figsize=(width, width * 0.62))
    axes = figure.subplots()
    x = np.linspace(-X_LIMIT, X_LIMIT, POINTS)
    cuts = [*properties.poles, *(k.x for k in properties.kinks if k.order == 0)]
    slope_cuts = [*cuts, *(k.x for k in properties.kinks if k.order <= 1)]
    f, slope = _gapped(expression, x, cuts), _gapped(expression.derivative(), x, slope_cuts)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.axvline(0, color=GREY, linewidth=0.7)
    axes.plot(x, slope, color=VERMILION, dashes=(4, 2), linewidth=1.3, label="f′")
    axes.plot(x, f, color=BLUE, linewidth=2, label="f")
    axes.set_xlim(-X_LIMIT, X_LIMIT)
    axes.set_ylim(*_y_range(f, slope))
    axes.set_xlabel("x")
    _mark(axes, expression, properties)
    _title(axes, expression, 72 * width - 60)
    axes.legend(loc="best", frameon=False, fontsize=TEXT, reverse=True)
    return figure


def _gapped(expression: Expression, x: np.ndarray, cuts: list[float]) -> np.ndarray:
    """The values, with gaps at the cuts and for what no axis can hold."""
    values = expression.values(x)
    values = np.where(np.abs(values) < 1e6, values, np.nan)
    step = x[1] - x[0]
    for cut in cuts:
        values[np.abs(x - cut) < 0.51 * step] = np.nan
    return values


def _y_range(*curves: np.ndarray) -> tuple[float, float]:
    values = np.concatenate([c[np.isfinite(c)] for c in curves])
    if not values.size:
        return -1.0, 1.0
    low, high = max(-Y_LIMIT, float(values.min())), min(Y_LIMIT, float(values.max()))
    low, high = min(low, high, Y_LIMIT - 1), max(low, high, 1 - Y_LIMIT)
    margin = 0.1 * max(high - low, 0.5)
    return low - margin, high + margin


def _mark(axes: Axes, expression: Expression, properties: Properties) -> None:
    bottom, top = axes.get_ylim()
    for extremum in (properties.minimum, properties.maximum):
        points = [a for a, b in extremum.where if a == b and abs(a) <= X_LIMIT and bottom < extremum.value < top]
        axes.plot(points, [extremum.value] * len(points), "o", color=BLUE, markersize=5)
        if len(points) == 1:
            x = points[0]
            text = f"({x:.4g}, {extremum.value:.4g})"
            below = extremum is properties.minimum
            place: dict[str, Any] = {
                "ha": "center",
                "va": "top" if below else "bottom",
                "fontsize": SMALL,
                "color": INK,
            }
            axes.annotate(text, (x, extremum.value), (0, -6 if below else 6), textcoords="offset points", **place)
    kinks = [k.x for k in properties.kinks if k.order == 1 and not k.infinite and abs(k.x) <= X_LIMIT]
    axes.plot(kinks, expression.values(kinks), "s", color=BLUE, markerfacecolor="white", markersize=5)


def _title(axes: Axes, expression: Expression, points: float) -> None:
    formula, is_math = fit_formula(expression.latex, expression.text, points, TEXT + 3)
    betas = ", ".join(f"β{name[4:]} = {value:g}" for name, value in expression.initial.items())
    axes.annotate(
        formula, (0, 1), (0, 20 if betas else 8), xycoords="axes fraction", textcoords="offset points",
        fontsize=TEXT + 3, parse_math=is_math, va="bottom",
    )  # fmt: skip
    if betas:
        axes.annotate(
            fit(f"at {betas}", points, SMALL), (0, 1), (0, 6), xycoords="axes fraction",
            textcoords="offset points", fontsize=SMALL, color=GREY, va="bottom",
        )  # fmt: skip
