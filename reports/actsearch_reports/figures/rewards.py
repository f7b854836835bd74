"""The reward over the evaluations: every trained function a point, the best so far a line, every failure a mark."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actsearch.evaluation import Outcome
from actsearch_reports.figures.style import BLUE, GREY, MAX_VECTOR_POINTS, SMALL, VERMILION
from actsearch_reports.summary import percent
from actsearch_reports.tables import RewardRow


def draw(rows: Sequence[RewardRow], width: float) -> Figure:
    """Validation accuracy by evaluation number above, one line of marks for each kind of failure below.

    Args:
        rows: at least one finished evaluation, in the order asked.
        width: inches.
    """
    failures = [
        outcome for outcome in Outcome if outcome is not Outcome.TRAINED and any(r.outcome is outcome for r in rows)
    ]
    strip = 0.24 * len(failures)
    upper = max(2.6, 0.36 * width)
    figure = Figure(figsize=(width, upper + strip + 0.5))
    if failures:
        axes, marks = figure.subplots(2, 1, sharex=True, height_ratios=[upper, strip])
        _draw_failures(marks, rows, failures)
        axes.tick_params(labelbottom=False)
    else:
        axes = marks = figure.subplots()
    _draw_rewards(axes, rows)
    marks.set_xlabel("evaluation, in the order asked")
    marks.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    last = max(r.number for r in rows)
    marks.set_xlim(1 - 0.02 * last - 0.5, last + 0.02 * last + 0.5)
    return figure


def _draw_rewards(axes: Axes, rows: Sequence[RewardRow]) -> None:
    trained = [r for r in rows if r.outcome is Outcome.TRAINED]
    axes.set_title("validation accuracy of each trained function")
    if not trained:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no function was trained", transform=axes.transAxes, ha="center", va="center", color=GREY)
        return
    numbers, rewards = [r.number for r in trained], [r.reward for r in trained]
    many = len(trained) > MAX_VECTOR_POINTS
    axes.scatter(numbers, rewards, s=6 if many else 16, color=BLUE, alpha=0.75, linewidths=0, rasterized=many)
    steps = [(r.number, r.best) for r in rows if r.best is not None]
    best = [value for _, value in steps]
    axes.step([number for number, _ in steps], best, where="post", color=VERMILION)
    axes.annotate(
        f"best so far: {percent(best[-1])}",
        (steps[-1][0], best[-1]),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=VERMILION,
    )
    # Headroom for the label above the line.
    low, high = min(rewards), max(rewards)
    margin = 0.05 * (high - low) + 0.005
    axes.set_ylim(low - margin, high + 3.5 * margin)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))


def _draw_failures(axes: Axes, rows: Sequence[RewardRow], failures: Sequence[Outcome]) -> None:
    labels = []
    for level, outcome in enumerate(failures):
        numbers = [r.number for r in rows if r.outcome is outcome]
        many = len(numbers) > MAX_VECTOR_POINTS
        heights = [level] * len(numbers)
        axes.plot(numbers, heights, "x", color=GREY, markersize=5, markeredgewidth=1.2, clip_on=False, rasterized=many)
        labels.append(f"{outcome.value.replace('_', ' ')}: {len(numbers)}")
    axes.set_yticks(range(len(failures)), labels, fontsize=SMALL)
    axes.set_ylim(len(failures) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
