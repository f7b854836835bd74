"""Figures draw in both widths without a warning, hold what their rows hold, and no two texts of theirs overlap."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from actsearch.evaluation import LayerRecord, Outcome
from actsearch.reader import read
from actsearch_reports.figures import (
    bench,
    betas,
    controller,
    finals,
    functions,
    outcomes,
    preactivations,
    rewards,
    style,
)
from actsearch_reports.layers import BetaSummary, beta_summaries
from actsearch_reports.tables import BatchRow, OutcomeRow, RewardRow
from tests.reports.conftest import SWISH, layers_of
from tests.reports.final_result import RESULT

WIDTHS = pytest.mark.parametrize("width", [style.WIDE, style.NARROW])

REWARDS = [
    RewardRow(1, Outcome.DIVERGED, 0.0, None),
    RewardRow(2, Outcome.TRAINED, 0.5, 0.5),
    RewardRow(3, Outcome.TRAINED, 0.4, 0.5),
    RewardRow(4, Outcome.TOO_COSTLY, 0.0, 0.5),
    RewardRow(5, Outcome.TRAINED, 0.8125, 0.8125),
    RewardRow(6, Outcome.DIVERGED, 0.0, 0.8125),
]
LONG = "exp(-beta*abs(log(abs(x) + 1e-5) - tanh(x)/(sinc(beta2*x) + 1e-5)))*max(x, sigmoid(x))*cosh(x)"
CURVES = [
    functions.Curve(read("x*sigmoid(beta*x)"), "1 · 81.60 % · Swish", {"beta": 1.7}),
    functions.Curve(read("max(x, 0)"), "2 · 77.80 % · ReLU"),
    functions.Curve(read(LONG), "3 · 70.00 %", {"beta": 0.5, "beta2": -1.0}),
    functions.Curve(read("x**3/(x + 1e-5)"), "4 · 60.00 %"),
    functions.Curve(read("exp(x)*cosh(x)"), "5 · 12.34 % · a name that is much too long for the width of any panel"),
]
LAYERS = layers_of(SWISH, seed=1)
TWO_BETAS = layers_of(("scale", "shift", "mix"), seed=2)
BATCHES = [
    BatchRow(k, 6, 5, 5 / 6, 0.5 + 0.01 * k, 0.7, {"entropy": 3 - 0.1 * k, "baseline": 0.5, "approx_kl": 0.01})
    for k in range(8)
]
SEARCHES = [
    bench.Searches(
        name,
        np.linspace(0.03, 0.001 * k, 40) * np.array([[0.5], [1.0], [1.5]]),
        np.minimum(np.arange(40) / (10 + k), 1.0),
    )
    for k, name in enumerate(
        ["ppo", "random", "random_new", "exhaustive", "evolution", "local", "reinforce", "pqt", "tpe", "ppo_plain"]
    )
]


@pytest.fixture(autouse=True)
def in_style() -> Iterator[None]:
    with style.styled():
        yield


def texts(figure: Figure) -> list[Text]:
    """The texts that are drawn, after a drawing; ticks beyond an axis' ends have labels that are not."""
    style.lay_out(figure)
    figure.draw_without_rendering()
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) - 1e-9 <= tick.get_loc() <= max(axis.get_view_interval()) + 1e-9
        for label in (tick.label1, tick.label2)
    }
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t not in beyond]
    return [t for t in found if t.get_visible() and t.get_text()]


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def words(figure: Figure) -> list[str]:
    return [t.get_text() for t in texts(figure)]


DRAWINGS: dict[str, Callable[[float], Figure]] = {
    "rewards": partial(rewards.draw, REWARDS),
    "rewards without failures": partial(rewards.draw, [r for r in REWARDS if r.outcome is Outcome.TRAINED]),
    "rewards of failures only": partial(rewards.draw, REWARDS[:1]),
    "functions": partial(functions.draw, CURVES),
    "one function": partial(functions.draw, CURVES[:1]),
    "betas": partial(betas.draw, LAYERS, {"beta": 1.0}),
    "several betas": partial(betas.draw, TWO_BETAS, {"beta": 1.0, "beta2": 0.0, "beta3": 0.5}),
    "preactivations": partial(preactivations.draw, LAYERS),
    "outcomes": partial(
        outcomes.draw,
        [OutcomeRow(Outcome.TRAINED, "", 998, 0.998, ()), OutcomeRow(Outcome.DIVERGED, "nan", 2, 0.002, ())],
    ),
    "finals": partial(finals.draw, RESULT),
    "bench": partial(bench.draw, SEARCHES),
    "bench of one controller": partial(bench.draw, SEARCHES[:1]),
    "controller": partial(controller.draw, BATCHES),
    "controller without measures": partial(controller.draw, [BatchRow(0, 5, 5, 1.0, 0.5, 0.7, {})]),
}


@WIDTHS
@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_covers_another_or_leaves_the_figure(name: str, width: float) -> None:
    figure = DRAWINGS[name](width)
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
    assert boxes
    right, top = figure.bbox.max
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= right + 1, text
        assert box.y1 <= top + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # A pixel of slack: boxes are those of the font, not of its ink.
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
        assert not overlap, f"{one!r} and {other!r}"


def test_rewards_hold_points_line_and_marks() -> None:
    figure = rewards.draw(REWARDS, style.WIDE)
    upper, lower = figure.axes
    assert np.asarray(upper.collections[0].get_offsets()).tolist() == [[2, 0.5], [3, 0.4], [5, 0.8125]]
    (best,) = upper.lines
    assert np.asarray(best.get_ydata()).tolist() == [0.5, 0.5, 0.5, 0.8125, 0.8125]
    assert [np.asarray(line.get_xdata()).tolist() for line in lower.lines] == [[1, 6], [4]]
    assert {"best so far: 81.25 %", "diverged: 2", "too costly: 1"} <= set(words(figure))


def test_functions_hold_f_its_derivative_and_the_trained_one() -> None:
    figure = functions.draw(CURVES[:2], style.WIDE)
    swish, relu = figure.axes
    x = np.linspace(-5, 5, functions.POINTS)
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in swish.lines if len(np.asarray(line.get_xdata())) > 2]
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(lines[0], sigmoid + x * sigmoid * (1 - sigmoid), atol=1e-12)
    np.testing.assert_allclose(lines[1], x * sigmoid, atol=1e-12)
    np.testing.assert_allclose(lines[2], x / (1 + np.exp(-1.7 * x)), atol=1e-12)
    assert len(relu.lines) == 2 + 2  # f, f′ and the two axes through 0
    found = words(figure)
    assert {"1 · 81.60 % · Swish", "f, β at its trained mean", r"$x \sigma\left(\beta x\right)$"} <= set(found)
    assert "f, β at its trained mean" not in words(functions.draw(CURVES[1:2], style.WIDE))


def test_a_formula_too_long_for_its_panel_ends_in_an_ellipsis() -> None:
    found = words(functions.draw(CURVES, style.NARROW))
    assert any(t.startswith("exp(-beta") and t.endswith("…") for t in found)


def test_betas_mark_the_initial_value_in_every_panel() -> None:
    figure = betas.draw(TWO_BETAS, {"beta": 1.0, "beta2": 0.0, "beta3": 0.5}, style.WIDE)
    marks = [
        float(np.asarray(line.get_xdata())[0])
        for axes in figure.axes
        for line in axes.lines
        if line.get_color() == style.VERMILION
    ]
    assert sorted(marks) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    assert {"initial 1", "initial 0", "initial 0.5", "β over all layers: 144 channels"} <= set(words(figure))


def test_beta_bars_add_up_to_the_channels() -> None:
    upper = betas.draw(LAYERS, {"beta": 1.0}, style.WIDE).axes[0]
    summary: BetaSummary = beta_summaries(LAYERS, {"beta": 1.0})[0]
    assert sum(bar.get_height() for bar in bars(upper)) == pytest.approx(summary.channels)


def test_betas_that_never_moved() -> None:
    still = [LayerRecord(name="act", channels=3, betas={"beta": (1.0, 1.0, 1.0)}, histogram=())]
    assert "initial 1" in words(betas.draw(still, {"beta": 1.0}, style.NARROW))


def test_preactivation_bars_are_shares_and_the_ends_stand_out() -> None:
    overall, ridges = preactivations.draw(LAYERS, style.WIDE).axes
    heights = [bar.get_height() for bar in bars(overall)]
    assert sum(heights) == pytest.approx(1)
    red = matplotlib.colors.to_rgba(style.VERMILION)
    assert [bar.get_facecolor() == red for bar in bars(overall)] == [True, *[False] * (len(heights) - 2), True]
    assert [t.get_text() for t in ridges.get_yticklabels()] == [layer.name for layer in LAYERS]


def test_outcomes_join_the_reasons_of_an_outcome() -> None:
    rows = [OutcomeRow(Outcome.DIVERGED, reason, 3, 0.25, ()) for reason in ("a", "b")]
    rows.append(OutcomeRow(Outcome.TRAINED, "", 6, 0.5, ()))
    figure = outcomes.draw(rows, style.WIDE)
    assert [bar.get_width() for bar in bars(figure.axes[0])] == [6, 6]
    assert {"6 (50 %)", "trained", "diverged"} <= set(words(figure))


def test_the_bench_draws_regret_in_points_and_the_share_that_found() -> None:
    left, right = bench.draw(SEARCHES[:2], style.WIDE).axes
    assert list(np.asarray(left.lines[1].get_ydata())) == pytest.approx(list(100 * SEARCHES[1].regret[1]))
    assert list(np.asarray(right.lines[1].get_ydata())) == pytest.approx(list(SEARCHES[1].found))
    assert [line.get_label() for line in left.lines] == ["ppo", "random"]
    assert left.get_ylim()[1] == pytest.approx(110 * SEARCHES[1].regret[2, 4] + 0.01)


def test_a_bench_of_many_controllers_has_one_band_and_tells_every_line_apart() -> None:
    left, _ = bench.draw(SEARCHES, style.WIDE).axes
    assert (len(left.collections), left.get_title("left")) == (1, "regret: median, quartiles of ppo")
    assert len({(line.get_color(), line.get_linestyle()) for line in left.lines}) == len(SEARCHES) == 10
    few, _ = bench.draw(SEARCHES[:3], style.WIDE).axes
    assert (len(few.collections), few.get_title("left")) == (3, "regret: median, quartiles")


def test_the_controller_draws_only_what_it_was_given() -> None:
    assert [a.get_title("left") for a in controller.draw(BATCHES, style.WIDE).axes] == [
        "mean reward",
        "share of new trainings",
        "entropy a token, nats",
        "approximate KL",
    ]
    bare = controller.draw([BatchRow(0, 5, 5, 1.0, 0.5, 0.7, {})], style.WIDE)
    assert [a.get_title("left") for a in bare.axes] == ["mean reward", "share of new trainings"]


@pytest.mark.parametrize("text", ["$\\frac", "a_b^c", "层.激活", "\N{SNOWMAN}\N{GRINNING FACE}", "two\nlines"])
def test_names_from_a_run_are_drawn_as_they_stand(text: str) -> None:
    odd = [LAYERS[0].model_copy(update={"name": text})]
    style.render(partial(preactivations.draw, odd), style.NARROW, "svg", "png")


@pytest.mark.parametrize("keep", ["start", "ends"])
def test_fit(keep: Literal["start", "ends"]) -> None:
    short = style.fit("stages.3.blocks.17.act2", 60, keep=keep)
    assert style.text_width(short, style.TEXT) <= 60
    head, tail = short.split("…")
    assert "stages.3.blocks.17.act2".startswith(head)
    assert "stages.3.blocks.17.act2".endswith(tail)
    assert len(head) > 3
    assert abs(len(head) - len(tail)) <= 1 if keep == "ends" else tail == ""
    assert style.fit("act", 60, keep=keep) == "act"


def test_equal_rows_give_equal_bytes_whatever_the_users_settings() -> None:
    draw = partial(rewards.draw, REWARDS)
    first = style.render(draw, style.NARROW, "svg", "png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "text.usetex": True}):
        assert style.render(draw, style.NARROW, "svg", "png") == first


def test_a_long_search_draws_its_points_as_one_picture() -> None:
    rows = [RewardRow(n, Outcome.TRAINED, 0.5 + 0.1 * np.sin(n), 0.6) for n in range(1, 20_001)]
    (svg,) = style.render(partial(rewards.draw, rows), style.WIDE, "svg")
    assert b"<image" in svg
    assert len(svg) < 1_000_000


def test_pyplot_is_never_imported() -> None:
    code = "import actsearch_reports.page, sys; print('matplotlib.pyplot' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
