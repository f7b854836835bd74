"""The best functions as small multiples on common axes: f and f′, and f where training has moved β."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actsearch.expression import Expression
from actsearch_reports.figures.style import BLUE, GREEN, GREY, SMALL, TEXT, VERMILION, fit, fit_formula, text_height

X_LIMIT = 5.0
Y_LIMIT = 5.0
"""Panels show at most [-5, 5] both ways: a cube would press all others flat."""
POINTS = 801


@dataclass(frozen=True)
class Curve:
    """One panel: a function, what stands in its title, and the mean of its trained β (empty: it has none)."""

    expression: Expression
    label: str
    betas: Mapping[str, float] = field(default_factory=dict)


def draw(curves: Sequence[Curve], width: float) -> Figure:
    """Panels of equal axes, four abreast on a wide figure and two on a narrow one.

    Args:
        curves: at least one.
        width: inches.
    """
    abreast = 4 if width > 6 else 2
    columns = min(len(curves), abreast)
    rows = -(-len(curves) // columns)
    panel = width / abreast
    # A single panel is widened to the key's one column.
    whole = max(panel * columns, 3.2)
    figure = Figure(figsize=(whole, rows * (panel * 0.78 + 0.55) + (0.45 if whole > 6 else 0.8)))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    x = np.linspace(-X_LIMIT, X_LIMIT, POINTS)
    for axes, curve in zip(grid.flat, curves, strict=False):
        _draw_panel(axes, curve, x, points=72 * panel - 34)
    for axes in grid.flat[len(curves) :]:
        axes.remove()
    # With the last row incomplete, the panels above its gaps carry the ticks.
    for axes in grid.flat[max(0, len(curves) - columns) : len(curves)]:
        axes.tick_params(labelbottom=True)
    grid[0, 0].set_xlim(-X_LIMIT, X_LIMIT)
    grid[0, 0].set_ylim(*_y_range(list(grid.flat[: len(curves)])))
    grid[0, 0].set_xticks([-4, 0, 4])
    grid[0, 0].set_yticks([-4, -2, 0, 2, 4])
    figure.legend(
        handles=_key(curves), loc="outside upper left", ncols=3 if whole > 6 else 1, frameon=False, fontsize=TEXT
    )
    return figure


def _key(curves: Sequence[Curve]) -> list[Line2D]:
    key = [
        Line2D([], [], color=BLUE, label="f, β at its initial value"),
        Line2D([], [], color=VERMILION, dashes=(4, 2), linewidth=1.2, label="f′, its derivative"),
    ]
    if any(curve.betas for curve in curves):
        key.append(Line2D([], [], color=GREEN, linewidth=1.3, dashes=(1, 1), label="f, β at its trained mean"))
    return key


def _draw_panel(axes: Axes, curve: Curve, x: np.ndarray, points: float) -> None:
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.axvline(0, color=GREY, linewidth=0.7)
    axes.plot(x, _finite(curve.expression.derivative().values(x)), color=VERMILION, dashes=(4, 2), linewidth=1.2)
    axes.plot(x, _finite(curve.expression.values(x)), color=BLUE)
    if curve.betas:
        axes.plot(x, _finite(curve.expression.values(x, **curve.betas)), color=GREEN, linewidth=1.3, dashes=(1, 1))
    formula, is_math = fit_formula(curve.expression.latex, curve.expression.text, points, TEXT)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    axes.annotate(formula, (0, 1), (0, 4), fontsize=TEXT, parse_math=is_math, **place)
    above = 8 + text_height(formula, TEXT, math=is_math)
    axes.annotate(fit(curve.label, points, SMALL), (0, 1), (0, above), fontsize=SMALL, color=GREY, **place)


def _finite(values: np.ndarray) -> np.ndarray:
    """The values with gaps for what no axis can hold."""
    return np.where(np.abs(values) < 1e6, values, np.nan)


def _y_range(panels: Sequence[Axes]) -> tuple[float, float]:
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for axes in panels for line in axes.lines])
    values = values[np.isfinite(values)]
    return max(-Y_LIMIT, float(values.min()) - 0.3), min(Y_LIMIT, float(values.max()) + 0.3)
