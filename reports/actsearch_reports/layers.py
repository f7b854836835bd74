"""What one trained child tells layer by layer: its β, and what its activations received.

A layer of up to 64 channels records every β; a wider one records 33 equally spaced quantiles, whose outermost two
each stand for half a step. Weights bring both to the same footing: they sum to the layer's channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actsearch.evaluation import LayerRecord

ALL_LAYERS = "all layers"
LIMIT = 10.0
"""Histograms of pre-activations run over [-10, 10]."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BetaRow:
    """One recorded value of β: a channel's, or a quantile over the channels of a wide layer."""

    layer: str
    beta: str
    index: int
    value: float
    kind: str


@dataclass(frozen=True)
class BetaSummary:
    """β of one layer, or of all, after training; `negative` is the share of channels below 0."""

    layer: str
    beta: str
    channels: int
    initial: float
    mean: float
    sd: float
    minimum: float
    median: float
    maximum: float
    negative: float


@dataclass(frozen=True)
class PreActivationRow:
    """What one activation, or all together, received; shares in 0–1, the median in units of the pre-activation."""

    layer: str
    values: int
    median: float
    negative: float
    bump: float
    """Between -5 and 0, where Swish bends below 0."""
    outside: float


@dataclass(frozen=True)
class HistogramRow:
    """One bin of a layer's histogram; the first and last bin also hold what lies outside."""

    layer: str
    left: float
    right: float
    count: int


def beta_values(layer: LayerRecord, name: str) -> tuple[Array, Array]:
    """A layer's recorded values of a β and the number of channels that each stands for."""
    values = np.asarray(layer.betas[name], dtype=np.float64)
    if len(values) == layer.channels:
        return values, np.ones(len(values))
    weights = np.ones(len(values))
    weights[[0, -1]] = 0.5
    return values, weights * (layer.channels / weights.sum())


def layers_with(layers: Sequence[LayerRecord], name: str) -> list[LayerRecord]:
    """The layers that recorded values of this β."""
    return [layer for layer in layers if layer.betas.get(name)]


def beta_names(layers: Sequence[LayerRecord]) -> list[str]:
    """The names of all β that some layer recorded, shortest first: beta, beta2, …, beta10."""
    names = {name for layer in layers for name, values in layer.betas.items() if values}
    return sorted(names, key=lambda name: (len(name), name))


def pooled_betas(layers: Sequence[LayerRecord], name: str) -> tuple[Array, Array]:
    """Values and weights of a β over all layers that have it."""
    pairs = [beta_values(layer, name) for layer in layers_with(layers, name)]
    return np.concatenate([v for v, _ in pairs]), np.concatenate([w for _, w in pairs])


def mean_betas(layers: Sequence[LayerRecord]) -> dict[str, float]:
    """The mean of each β over all channels of all layers; empty for a function without β."""
    return {
        name: float(np.average(v, weights=w)) for name in beta_names(layers) for v, w in [pooled_betas(layers, name)]
    }


def beta_rows(layers: Sequence[LayerRecord]) -> list[BetaRow]:
    """Every recorded value, by β and then by layer."""
    return [
        BetaRow(layer.name, name, index, value, "channel" if len(values) == layer.channels else "quantile")
        for name in beta_names(layers)
        for layer in layers_with(layers, name)
        for values in [layer.betas[name]]
        for index, value in enumerate(values)
    ]


def beta_summaries(layers: Sequence[LayerRecord], initial: Mapping[str, float]) -> list[BetaSummary]:
    """For each β a row over all layers, then one a layer.

    Args:
        layers: the child's activations, in the order of the network.
        initial: β's initial values by name; a β that is not among them is no β of the function, whoever recorded it.
    """
    rows = []
    for name in beta_names(layers):
        if name not in initial:
            continue
        parts = [(ALL_LAYERS, *pooled_betas(layers, name))]
        parts += [(layer.name, *beta_values(layer, name)) for layer in layers_with(layers, name)]
        rows += [_beta_summary(layer, name, initial[name], v, w) for layer, v, w in parts]
    return rows


def _beta_summary(layer: str, name: str, initial: float, values: Array, weights: Array) -> BetaSummary:
    mean = float(np.average(values, weights=weights))
    return BetaSummary(
        layer=layer,
        beta=name,
        channels=round(float(weights.sum())),
        initial=initial,
        mean=mean,
        sd=float(np.sqrt(np.average((values - mean) ** 2, weights=weights))),
        minimum=float(values.min()),
        median=weighted_median(values, weights),
        maximum=float(values.max()),
        negative=float(weights[values < 0].sum() / weights.sum()),
    )


def weighted_median(values: Array, weights: Array) -> float:
    """The value at which half of the weight is reached; between two equal halves, their middle."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    low = int(np.searchsorted(reached, 0.5 - 1e-9))
    high = int(np.searchsorted(reached, 0.5 + 1e-9))
    return float((values[order][low] + values[order][high]) / 2)


def bin_edges(histogram: Sequence[int]) -> Array:
    """The edges of a histogram's equal bins over [-10, 10]."""
    return np.linspace(-LIMIT, LIMIT, len(histogram) + 1)


def pooled_histogram(layers: Sequence[LayerRecord]) -> tuple[int, ...]:
    """Counts over all layers, for layers whose histograms have the same bins."""
    return tuple(int(n) for n in np.sum([layer.histogram for layer in layers], axis=0))


def histogram_rows(layers: Sequence[LayerRecord]) -> list[HistogramRow]:
    """Every bin of every layer that received something."""
    rows = []
    for layer in with_histogram(layers):
        edges = bin_edges(layer.histogram)
        rows += [
            HistogramRow(layer.name, float(left), float(right), count)
            for left, right, count in zip(edges[:-1], edges[1:], layer.histogram, strict=True)
        ]
    return rows


def with_histogram(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """The layers whose pre-activations were counted."""
    return [layer for layer in layers if sum(layer.histogram) > 0]


def preactivation_rows(layers: Sequence[LayerRecord]) -> list[PreActivationRow]:
    """A row over all layers, then one a layer; empty where nothing was counted."""
    counted = with_histogram(layers)
    if not counted:
        return []
    parts = [(ALL_LAYERS, pooled_histogram(counted)), *((layer.name, layer.histogram) for layer in counted)]
    return [_preactivation_row(name, histogram) for name, histogram in parts]


def _preactivation_row(layer: str, histogram: Sequence[int]) -> PreActivationRow:
    counts = np.asarray(histogram, dtype=np.float64)
    edges = bin_edges(histogram)
    below = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    return PreActivationRow(
        layer=layer,
        values=int(counts.sum()),
        median=float(np.interp(0.5, below, edges)),
        negative=float(np.interp(0.0, edges, below)),
        bump=float(np.diff(np.interp([-5.0, 0.0], edges, below))[0]),
        outside=float((counts[0] + counts[-1]) / counts.sum()),
    )
