"""Verification on the page: tables, correlations, and what stands there before there is one."""

from pathlib import Path

import pytest

from actsearch.evaluation import Evaluation, Outcome
from actsearch.store import RunState, Store
from actsearch_reports.page import write_report
from tests.actsearch.test_store_finals import PLAN
from tests.actsearch.test_store_verifications import FOUND, VERIFICATION
from tests.reports.conftest import SEARCH, DrawOnly, StoreRun
from tests.reports.final_result import RESULT
from tests.reports.test_page import Page, rows


@pytest.fixture
def store(store_run: StoreRun) -> Store:
    """A short run whose finals are done."""
    made = store_run(SEARCH[:3])
    made.finals.begin("first", PLAN)
    done = Evaluation(run="first", evaluation="b" * 16, outcome=Outcome.TRAINED, val_accuracy=0.8, test_accuracy=0.8)
    made.finals.record(done, fingerprint="f" * 16, child="resnet20", seed=3, measures_test=True)
    made.finals.finish("first", RESULT)
    return made


def test_the_page_has_what_was_found_and_what_goes_on(store: Store, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    store.verifications.begin("first", VERIFICATION)
    store.verifications.finish("first", 1, FOUND)
    store.verifications.begin("first", VERIFICATION)
    store.verifications.set_state("first", 2, RunState.INTERRUPTED, "stopped on request")
    folder = tmp_path / "report"
    page = Page(write_report(store, "first", folder))
    for words in (
        "with 2 fresh paired seeds: validation accuracy, described and not tested. No test image was touched.",
        "Rank correlation with the finals, mean over all: +0.62 (95 % −0.10 to +0.91)",
        "+3.10 (+1.20 to +5.00) (1 failed)",
        "0 of 1",
        "89.90 %",
        "Verification 2 is interrupted: stopped on request. actsearch verify first goes on.",
    ):
        assert words in page.text
    found = rows(folder / "verification.csv")
    assert [(r["canonical"], r["ground"], r["difference"], r["failures"]) for r in found] == [
        ("x*sigmoid(beta*x)", "resnet8 on digits", "0.031", "1"),
        ("x*sigmoid(beta*x)", "resnet8 on digits", "", "0"),
    ]
    correlations = rows(folder / "verification_correlations.csv")
    assert [(r["ground"], r["functions"], r["spearman"], r["low"]) for r in correlations] == [
        ("all", "2", "0.62", "-0.1"),
        ("resnet8 on digits", "2", "0.62", "-0.1"),
    ]


def test_finals_without_a_verification_say_how_to_make_one(store: Store, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    page = Page(write_report(store, "first", tmp_path / "report"))
    assert (
        "The finalists have not been tried in other networks or on other data. actsearch verify first does so."
        in page.text
    )


def test_a_run_without_finals_has_no_such_section(store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    page = Page(write_report(store_run(SEARCH[:1]), "first", tmp_path / "report"))
    assert "other networks" not in page.text
    assert not (tmp_path / "report" / "verification.csv").exists()
