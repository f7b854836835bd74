"""How the controller fared, batch by batch: what it earned, how much of it was new, and its own measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actsearch_reports.figures.style import BLUE, GREEN, PURPLE, SMALL, VERMILION, text_width
from actsearch_reports.tables import BatchRow

Series = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Line:
    """One measure over the batches."""

    label: str
    value: Callable[[BatchRow], float | None]


def metric(label: str, key: str) -> Line:
    """The line of a metric that the controller reported; absent where it did not."""
    return Line(label, lambda row: row.metrics.get(key))


def _of_kind(kind: str) -> Callable[[BatchRow], float | None]:
    """The mean over all slots of one kind."""

    def mean(row: BatchRow) -> float | None:
        values = [v for key, v in row.metrics.items() if key.partition(".")[2].rstrip("12") == kind]
        return fmean(values) if values else None

    return mean


_ENTROPIES = (
    metric("all", "entropy"),
    *(metric(slot, f"entropy_{slot}") for slot in ("unary1", "unary2", "binary")),
    *(Line(kind, _of_kind(kind)) for kind in ("input", "unary", "binary")),
)
"""With one core unit each slot has a line, with more (`entropy_unit2.unary1`) each kind of slot."""

PANELS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    ("mean reward", (Line("of the batch", lambda row: row.mean_reward), metric("baseline", "baseline"))),
    ("share of new trainings", (Line("", lambda row: row.new_share),)),
    ("entropy a token, nats", _ENTROPIES),
    ("approximate KL", (metric("", "approx_kl"),)),
    ("share of ratios clipped", (metric("", "clip_fraction"),)),
    ("gradient norm", (metric("", "grad_norm"),)),
)
"""Title of each panel and its lines; a panel none of whose lines has values is left out."""

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE)


def draw(rows: Sequence[BatchRow], width: float) -> Figure:
    """Panels on a common axis of batches, three abreast on a wide figure and one on a narrow one.

    Args:
        rows: at least one batch.
        width: inches.
    """
    panels = [
        (title, drawn)
        for title, lines in PANELS
        if (drawn := [(line.label, s) for line in lines if (s := _series(rows, line))])
    ]
    columns = min(len(panels), 3) if width > 6 else 1
    bands = -(-len(panels) // columns)
    figure = Figure(figsize=(width, bands * 2.0 + 0.2))
    grid = figure.subplots(bands, columns, squeeze=False)
    for index, (axes, (title, drawn)) in enumerate(zip(grid.flat, panels, strict=False)):
        axes.set_title(title)
        _draw_lines(axes, drawn)
        if title.startswith("share"):
            axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(rows[0].batch - 0.5, rows[-1].batch + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        if index >= len(panels) - columns:
            axes.set_xlabel("batch")
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    return figure


def _series(rows: Sequence[BatchRow], line: Line) -> Series:
    return [(row.batch, value) for row in rows if (value := line.value(row)) is not None]


def _draw_lines(axes: Axes, drawn: Sequence[tuple[str, Series]]) -> None:
    for (_, series), colour in zip(drawn, _COLOURS, strict=False):
        batches, values = zip(*series, strict=True)
        axes.plot(batches, values, color=colour, marker="o", markersize=3 if len(series) <= 60 else 0)
    if len(drawn) > 1:
        # Direct labels in their lines' colours: two lines that meet would cover labels at their ends.
        left = 4.0
        for (label, _), colour in zip(drawn, _COLOURS, strict=False):
            axes.annotate(
                label,
                (0, 1),
                xytext=(left, -2),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                color=colour,
                fontsize=SMALL,
            )
            left += text_width(label, SMALL) + 10
        axes.margins(y=0.25)
