"""How the evaluations ended: a bar for each outcome, with its count."""

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actsearch.evaluation import Outcome
from actsearch_reports.figures.style import BLUE, GREY
from actsearch_reports.summary import percent
from actsearch_reports.tables import OutcomeRow


def draw(rows: Sequence[OutcomeRow], width: float) -> Figure:
    """Horizontal bars in the order of `Outcome`, those that occurred.

    Args:
        rows: at least one.
        width: inches.
    """
    counts = Counter[Outcome]()
    for row in rows:
        counts[row.outcome] += row.count
    shown = [outcome for outcome in Outcome if counts[outcome]]
    total = sum(counts.values())
    figure = Figure(figsize=(width, 0.6 + 0.3 * len(shown)))
    axes = figure.subplots()
    bars = axes.barh(
        range(len(shown)),
        [counts[outcome] for outcome in shown],
        height=0.7,
        color=[BLUE if outcome is Outcome.TRAINED else GREY for outcome in shown],
    )
    axes.bar_label(bars, [f"{counts[outcome]} ({percent(counts[outcome] / total, 0)})" for outcome in shown], padding=4)
    axes.set_yticks(range(len(shown)), [outcome.value.replace("_", " ") for outcome in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, max(counts.values()) * (1.15 if width > 6 else 1.35))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("evaluations")
    return figure
