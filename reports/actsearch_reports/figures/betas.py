"""Trained β of one function: its distribution over all channels, and every layer's, signed, from where it began."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actsearch.evaluation import LayerRecord
from actsearch_reports.figures.style import BLUE, GREY, INK, PALE, SMALL, VERMILION, fit
from actsearch_reports.layers import beta_names, beta_values, layers_with, pooled_betas, weighted_median

BINS = 40


def draw(layers: Sequence[LayerRecord], initial: Mapping[str, float], width: float) -> Figure:
    """For each β a histogram over all layers and, below on the same axis, one row of channels for each layer.

    Args:
        layers: a child's activations in the order of the network; at least one has β.
        initial: β's initial values by name.
        width: inches.
    """
    names = beta_names(layers)
    columns = min(len(names), 2 if width > 6 else 1)
    bands = -(-len(names) // columns)
    tall = 0.3 + 0.24 * max(len(layers_with(layers, name)) for name in names)
    figure = Figure(figsize=(width, bands * (tall + 2.2)))
    grid = figure.subplots(2 * bands, columns, squeeze=False, height_ratios=[1.5, tall] * bands)
    for index, name in enumerate(names):
        band, column = divmod(index, columns)
        upper, lower = grid[2 * band, column], grid[2 * band + 1, column]
        upper.sharex(lower)
        _draw_overall(upper, layers, name, initial[name])
        _draw_layers(lower, layers, name, initial[name], label_points=72 * width / columns * 0.3)
        _set_limits(lower, layers, name, initial[name])
    for column in range(len(names) % columns or columns, columns):
        grid[-1, column].remove()
        grid[-2, column].remove()
    return figure


def symbol(name: str) -> str:
    """How a β is written: β, β2, β3, …"""
    return name.replace("beta", "β")


def _set_limits(axes: Axes, layers: Sequence[LayerRecord], name: str, initial: float) -> None:
    values, _ = pooled_betas(layers, name)
    low, high = min(float(values.min()), initial), max(float(values.max()), initial)
    margin = 0.06 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)


def _draw_overall(axes: Axes, layers: Sequence[LayerRecord], name: str, initial: float) -> None:
    values, weights = pooled_betas(layers, name)
    low, high = float(values.min()), float(values.max())
    span = (low, high) if high > low else (low - 0.5, high + 0.5)
    axes.hist(values, bins=BINS, range=span, weights=weights, color=BLUE, linewidth=0)
    axes.axvline(initial, color=VERMILION)
    axes.margins(y=0.18)  # room above the bars for the label of the initial value
    axes.set_title(f"{symbol(name)} over all layers: {round(float(weights.sum()))} channels")
    axes.set_ylabel("channels")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.tick_params(labelbottom=False)
    middle = sum(axes.get_xlim()) / 2
    right = initial <= middle
    axes.annotate(
        f"initial {initial:g}",
        (initial, 1),
        xytext=(4 if right else -4, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
        color=VERMILION,
        fontsize=SMALL,
    )


def _draw_layers(axes: Axes, layers: Sequence[LayerRecord], name: str, initial: float, label_points: float) -> None:
    members = layers_with(layers, name)
    for level, layer in enumerate(members):
        values, weights = beta_values(layer, name)
        axes.plot([values.min(), values.max()], [level, level], color=PALE, linewidth=5, solid_capstyle="butt")
        axes.plot(values, np.full(len(values), level), "o", color=BLUE, markersize=3.2, alpha=0.55, markeredgewidth=0)
        median = weighted_median(values, weights)
        axes.plot([median, median], [level - 0.36, level + 0.36], color=INK, linewidth=1.4)
    axes.axvline(initial, color=VERMILION)
    axes.set_yticks(range(len(members)), [fit(m.name, label_points, SMALL, keep="ends") for m in members])
    axes.set_ylim(len(members) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=GREY)
    axes.set_xlabel(f"{symbol(name)} by channel; bar: median")
