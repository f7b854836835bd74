"""Rows by value, from the stored search in conftest."""

import subprocess
import sys

import pytest

from actsearch.evaluation import Outcome
from actsearch.store import EvaluationRecord
from actsearch_reports import tables
from tests.reports.conftest import SEARCH, SWISH, StoreRun


def test_top_functions_are_the_trained_ones_best_first(records: list[EvaluationRecord]) -> None:
    rows = tables.top_functions(records, 4)
    assert [(r.rank, r.number, r.formula, r.val_accuracy) for r in rows] == [
        (1, 8, "sinc(x) - softplus(x)", 0.83),
        (2, 10, "min(x, sin(x))", 0.817),
        (3, 3, "x*sigmoid(beta*x)", 0.816),
        (4, 11, "x*sigmoid(x)", 0.814),
    ]
    assert rows[2].names == ("Swish",)
    assert (rows[2].steps, rows[2].seconds_per_step, rows[2].seed) == (150, 0.021, records[2].seed)
    assert rows[0].betas == {}
    assert list(rows[2].betas) == ["beta"]


def test_a_tie_goes_to_the_function_asked_first(store_run: StoreRun) -> None:
    tied = [(tokens, (Outcome.TRAINED, 0.5, "")) for tokens, _ in (SEARCH[7], SEARCH[2], SEARCH[0])]
    rows = tables.top_functions(store_run(tied).evaluations("first"))
    assert [(r.rank, r.number) for r in rows] == [(1, 1), (2, 2), (3, 3)]


def test_a_stopped_child_is_not_ranked_by_its_accuracy_so_far(store_run: StoreRun) -> None:
    search = [(SWISH, (Outcome.STOPPED, 0.7, "below 0.75 at step 40")), (SEARCH[0][0], (Outcome.TRAINED, 0.6, ""))]
    records = store_run(search).evaluations("first")
    assert [r.val_accuracy for r in tables.top_functions(records)] == [0.6]
    assert [(r.reward, r.best) for r in tables.reward_rows(records)] == [(0.7, None), (0.6, 0.6)]


def test_rewards_keep_failures_and_the_best_so_far(records: list[EvaluationRecord]) -> None:
    rows = tables.reward_rows(records)
    assert [(r.number, r.outcome.value, r.reward, r.best) for r in rows[:5]] == [
        (1, "trained", 0.61, 0.61),
        (2, "nonfinite", 0.0, 0.61),
        (3, "trained", 0.816, 0.816),
        (4, "constant", 0.0, 0.816),
        (5, "diverged", 0.0, 0.816),
    ]
    assert rows[-1].best == 0.83


def test_outcomes_join_reasons_that_differ_in_numbers_only(store_run: StoreRun) -> None:
    search = [
        (("square", "sinh", "subtract"), (Outcome.DIVERGED, None, "the loss became nan at step 17")),
        (("square", "cosh", "add"), (Outcome.DIVERGED, None, "the loss became nan at step 42")),
        (("cube", "cosh", "add"), (Outcome.DIVERGED, None, "the gradient norm became 1.5e+30")),
        (SWISH, (Outcome.TRAINED, 0.8, "")),
    ]
    rows = tables.outcome_rows(store_run(search).evaluations("first"), examples=1)
    assert [(r.outcome.value, r.reason, r.count, r.share, r.examples) for r in rows] == [
        ("trained", "", 1, 0.25, ("x*sigmoid(beta*x)",)),
        ("diverged", "the loss became nan at step …", 2, 0.5, ("x**2 - sinh(x)",)),
        ("diverged", "the gradient norm became 1.5e+30", 1, 0.25, ("x**3 + cosh(x)",)),
    ]


def test_every_evaluation_has_a_row_and_an_unfinished_one_says_nothing_it_does_not_know(store_run: StoreRun) -> None:
    records = store_run([*SEARCH[:2], (SEARCH[2][0], None)]).evaluations("first")
    first, failed, waiting = tables.evaluation_rows(records)
    assert (first.outcome, first.reward, first.val_accuracy, first.tokens) == ("trained", 0.61, 0.61, SEARCH[0][0])
    assert (failed.outcome, failed.reason, failed.reward, failed.val_accuracy) == (
        "nonfinite",
        "the first loss is not finite",
        0.0,
        None,
    )
    assert (waiting.outcome, waiting.reward, waiting.steps, waiting.names) == ("", None, None, ("Swish",))


def test_batches_have_rewards_once_they_are_told(store_run: StoreRun) -> None:
    store = store_run(metrics=lambda batch: {"entropy": 3.0 - batch})
    rows = tables.batch_rows(store.batches("first"), store.proposals("first"))
    # Batches of five new functions, from the second on with a repeat of the first; the third is not told.
    assert [(r.batch, r.proposals, r.new) for r in rows] == [(0, 5, 5), (1, 6, 5), (2, 4, 3)]
    assert [r.new_share for r in rows] == [1.0, 5 / 6, 0.75]
    assert rows[0].mean_reward == pytest.approx((0.61 + 0.816) / 5)
    assert rows[0].best_reward == 0.816
    assert rows[1].mean_reward == pytest.approx((0.778 + 0.83 + 0.811 + 0.817 + 0.61) / 6)
    assert (rows[2].mean_reward, rows[2].best_reward, rows[2].metrics) == (None, None, {})
    assert [r.metrics for r in rows[:2]] == [{"entropy": 3.0}, {"entropy": 2.0}]


def test_tables_need_no_plots() -> None:
    code = "import actsearch_reports.tables, actsearch_reports.rediscovery, actsearch_reports.summary, sys; print({'matplotlib', 'jinja2'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
