"""Controllers side by side on a landscape: how far from the best they are, and how soon they find the Swish family."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actsearch_reports.figures.style import BLUE, BROWN, GREEN, GREY, INK, ORANGE, PURPLE, SKY, SMALL, VERMILION

_COLOURS = (VERMILION, GREY, BLUE, GREEN, PURPLE, ORANGE, SKY, BROWN, INK)
_MOST_BANDS = 3
"""Bands of more controllers than these would cover each other: then only the first has one."""


@dataclass(frozen=True)
class Searches:
    """One controller's searches, over seeds.

    Attributes:
        name: the controller's.
        regret: lower quartile, median and upper quartile after 1, 2, … evaluations, 0-1, ``(3, evaluations)``.
        found: share of seeds that had found a member of the Swish family, 0-1, ``(evaluations,)``.
    """

    name: str
    regret: npt.NDArray[np.float64]
    found: npt.NDArray[np.float64]


def draw(searches: Sequence[Searches], width: float) -> Figure:
    """Regret with its quartiles, and the share that found the Swish family, by evaluations; abreast on a wide figure.

    Args:
        searches: at least one controller's, with equal numbers of evaluations.
        width: inches.
    """
    abreast = width > 6
    figure = Figure(figsize=(width, 3.6 if abreast else 6.2))
    left, right = figure.subplots(1, 2) if abreast else figure.subplots(2, 1)
    bands = len(searches) if len(searches) <= _MOST_BANDS else 1
    for k, (one, (line, colour)) in enumerate(zip(searches, cycle(product(("-", "--"), _COLOURS)), strict=False)):
        numbers = np.arange(1, len(one.found) + 1)
        low, middle, high = 100 * one.regret
        if k < bands:
            left.fill_between(numbers, low, high, color=colour, alpha=0.12, linewidth=0, step="post")
        left.step(numbers, middle, where="post", color=colour, linestyle=line, label=one.name)
        right.step(numbers, one.found, where="post", color=colour, linestyle=line)
    left.set_title(f"regret: median, quartiles{'' if bands == len(searches) else f' of {searches[0].name}'}")
    left.set_ylabel("points of accuracy")
    left.set_ylim(0, _ceiling(searches))
    right.set_title("searches that found the Swish family")
    right.set_ylim(-0.02, 1.02)
    right.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    for axes in (left, right):
        _finish(axes, len(searches[0].found))
    figure.legend(
        loc="outside lower center", ncols=min(len(searches), 9 if abreast else 3), fontsize=SMALL, frameon=False
    )
    return figure


def _ceiling(searches: Sequence[Searches]) -> float:
    """What the curves reach after a tenth of the evaluations, in points: before that all of them fall steeply."""
    start = len(searches[0].found) // 10
    return 100 * max(float(one.regret[2, start]) for one in searches) * 1.1 + 0.01


def _finish(axes: Axes, evaluations: int) -> None:
    axes.set_xlabel("evaluations")
    axes.set_xlim(1, max(evaluations, 2))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
