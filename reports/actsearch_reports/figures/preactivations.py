"""What the activations received: a histogram over all layers, and a ridge for each layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from actsearch.evaluation import LayerRecord
from actsearch_reports.figures.style import BLUE, GREY, INK, PALE, SMALL, VERMILION, fit
from actsearch_reports.layers import LIMIT, bin_edges, pooled_histogram
from actsearch_reports.summary import percent


def draw(layers: Sequence[LayerRecord], width: float) -> Figure:
    """Shares of pre-activations by value over [-10, 10]; the end bins, which hold the overflow, stand out.

    Args:
        layers: the layers that counted something, in the order of the network, with equal bins; at least one.
        width: inches.
    """
    tall = 0.3 + 0.3 * len(layers)
    figure = Figure(figsize=(width, tall + 2.4))
    overall, ridges = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, tall])
    _draw_overall(overall, pooled_histogram(layers))
    _draw_ridges(ridges, layers, label_points=72 * width * 0.3)
    ridges.set_xlabel("pre-activation")
    ridges.set_xlim(-LIMIT, LIMIT)
    ridges.set_xticks([-10, -5, 0, 5, 10])
    return figure


def _draw_overall(axes: Axes, histogram: Sequence[int]) -> None:
    edges = bin_edges(histogram)
    shares = np.asarray(histogram) / sum(histogram)
    colours = [VERMILION, *[BLUE] * (len(shares) - 2), VERMILION]
    axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=colours, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_title("all layers")
    axes.set_ylabel("share a bin")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    axes.tick_params(labelbottom=False)
    for share, x, side in ((shares[0], 0.005, "left"), (shares[-1], 0.995, "right")):
        sign = "≤" if side == "left" else "≥"
        edge = f"{edges[1] if side == 'left' else edges[-2]:g}".replace("-", "\N{MINUS SIGN}")
        axes.text(
            x,
            0.96,
            f"{sign} {edge}: {percent(share, 1)}",
            transform=axes.transAxes,
            ha=side,
            va="top",
            fontsize=SMALL,
            color=VERMILION,
        )


def _draw_ridges(axes: Axes, layers: Sequence[LayerRecord], label_points: float) -> None:
    for level, layer in enumerate(layers):
        shares = np.asarray(layer.histogram) / max(layer.histogram)
        edges = bin_edges(layer.histogram)
        axes.stairs(level + 0.4 - 0.85 * shares, edges, baseline=level + 0.4, fill=True, color=PALE)
        axes.stairs(level + 0.4 - 0.85 * shares, edges, baseline=None, color=BLUE, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(layers)), [fit(layer.name, label_points, SMALL, keep="ends") for layer in layers])
    axes.set_ylim(len(layers) - 0.5, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_title("by layer, each to its own height")
