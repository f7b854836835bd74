"""Finals: each function's difference from the reference with its interval, and the same in each child."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actsearch.finals import FinalRow, FinalsResult
from actsearch_reports.figures.style import BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY, SMALL, VERMILION, fit

_CHILDREN = ((ORANGE, "v"), (GREEN, "^"), (PURPLE, "s"), (SKY, "D"), (BROWN, "P"), (VERMILION, "X"))
"""Colour and marker of each child of the panel, from the first one again where there are more."""
_MARGIN = 0.25
"""Inches on each side that no label may enter."""


def draw(result: FinalsResult, width: float) -> Figure:
    """A line a function that was not dropped, best first: name above, interval and children below.

    Args:
        result: what finals say.
        width: inches.
    """
    rows = [row for row in result.rows if row.difference is not None and not row.is_dropped]
    per_line = 3 if width > 6 else 1
    entries = len(result.children) + 2
    figure = Figure(figsize=(width, 0.9 + 0.5 * len(rows) + 0.2 * -(-entries // per_line)))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for place, row in enumerate(rows):
        _draw_row(axes, row, place, (width - 2 * _MARGIN) * 72)
    axes.set_ylim(len(rows) - 0.35, -0.65)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    axes.margins(x=0.04)
    axes.set_xlabel(f"accuracy minus that of {result.reference}, in points")
    handles = [_mark(BLUE, "o", "panel, tied with the best"), _mark(GREY, "o", "panel, behind the best")]
    handles += [_mark(*_style(k), name) for k, name in enumerate(result.children)]
    figure.legend(handles=handles, loc="outside lower center", ncols=per_line, fontsize=SMALL, frameon=False)
    return figure


def _draw_row(axes: Axes, row: FinalRow, place: int, points: float) -> None:
    assert row.difference is not None, "the reference has no line"
    mean, low, high = (100 * value for value in (row.difference.mean, row.difference.low, row.difference.high))
    colour = BLUE if row.is_tied else GREY
    level = place + 0.12
    for k, child in enumerate(row.children):
        if child.difference is not None:
            shade, marker = _style(k)
            axes.plot(100 * child.difference.mean, level + 0.17, marker, color=shade, markersize=4.5, zorder=2)
    axes.plot([low, high], [level, level], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=3)
    axes.plot(mean, level, "o", color=colour, markersize=6.5, zorder=4)
    names = ", ".join(row.candidate.names) + (" (control)" if row.candidate.is_control else "")
    axes.text(
        0,
        place - 0.22,
        fit(f"{row.candidate.canonical}   {names}".rstrip(), points, SMALL),
        transform=axes.get_yaxis_transform(),
        fontsize=SMALL,
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _style(child: int) -> tuple[str, str]:
    return _CHILDREN[child % len(_CHILDREN)]


def _mark(colour: str, marker: str, label: str) -> Line2D:
    size = 6.5 if marker == "o" else 4.5
    return Line2D([], [], color=colour, marker=marker, linestyle="", markersize=size, label=label)
