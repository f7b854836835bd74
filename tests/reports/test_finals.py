"""Finals on the page: the statement, its files, and what stands there before they are done."""

from pathlib import Path

import numpy as np
import pytest

from actsearch.evaluation import Evaluation, Outcome
from actsearch.store import RunState, Store
from actsearch_reports.figures import finals as figure
from actsearch_reports.figures import style
from actsearch_reports.page import write_report
from tests.actsearch.test_store_finals import PLAN
from tests.reports.conftest import DrawOnly, StoreRun
from tests.reports.final_result import CHILDREN, LONG, RESULT
from tests.reports.test_page import Page, rows


@pytest.fixture
def store(store_run: StoreRun) -> Store:
    """A run whose finals have two trainings."""
    made = store_run()
    made.finals.begin("first", PLAN)
    for index, (outcome, test) in enumerate([(Outcome.TRAINED, 0.81), (Outcome.DIVERGED, None)]):
        evaluation = Evaluation(
            run="first", evaluation=f"{index:016x}", outcome=outcome, val_accuracy=0.82, test_accuracy=test, steps=300
        )
        made.finals.record(evaluation, fingerprint="f" * 16, child="resnet20", seed=index, measures_test=True)
    return made


def test_the_page_has_the_statement(store: Store, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only("finals")
    store.finals.finish("first", RESULT)
    page = Page(write_report(store, "first", tmp_path / "report"))
    for words in (
        "64 classes of functions of the search were trained again with fresh seeds",
        "10 paired seeds (same initial weights and batches for every function) in nf_resnet8, resnet20, efficientnet_tiny",
        "(Swish), found by the search. 2 functions in the group tied with it",
        "2 of 3 finalists better than ReLU at 5 %",
        "+1.81 (+1.61 to +2.01) < 0.0001 yes",
        "dropped after 4 seeds",
        "(2 failed)",
        "SiLU (control)",
        "the finalists reached 0.80 points less on average than the search had said",
        "Test accuracy was measured once, between 20",
        "This is a table of luck; what holds stands in the finals below.",
    ):
        assert words in page.text
    alts = [image["alt"] or "" for image in page.all("img")]
    assert any(
        alt.startswith("Difference from ReLU") and "x*sigmoid(beta*x) +1.81 (+1.61 to +2.01)" in alt for alt in alts
    )
    assert (tmp_path / "report" / "finals.png").read_bytes().startswith(b"\x89PNG")


def test_csv_files_hold_every_number(store: Store, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    store.finals.finish("first", RESULT)
    folder = write_report(store, "first", tmp_path / "report").parent
    functions = rows(folder / "finals.csv")
    assert [(r["place"], r["names"], r["is_tied"], r["is_dropped"]) for r in functions] == [
        ("1", "Swish", "True", "False"),
        ("2", "", "True", "False"),
        ("3", "SiLU", "False", "False"),
        ("4", "ReLU", "False", "False"),
        ("5", "tanh", "False", "True"),
    ]
    assert (functions[0]["difference"], functions[3]["difference"], functions[4]["mean_rank"]) == ("0.0181", "", "")
    assert float(functions[0]["shrinkage"]) == pytest.approx(0.008)
    children = rows(folder / "finals_children.csv")
    assert len(children) == 5 * 3
    assert [r["child"] for r in children[:3]] == list(CHILDREN)
    trainings = rows(folder / "finals_trainings.csv")
    assert [(r["outcome"], r["val_accuracy"], r["test_accuracy"]) for r in trainings] == [
        ("trained", "0.82", "0.81"),
        ("diverged", "0.82", "0.0"),
    ]


def test_before_they_are_done_the_page_says_how_far(store: Store, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    store.finals.set_state("first", RunState.INTERRUPTED, "stopped on request")
    page = Page(write_report(store, "first", tmp_path / "report"))
    assert "Finals are interrupted: stopped on request; 2 trainings of them have been told." in page.text
    assert "This is a table of luck until finals are run." in page.text
    assert not (tmp_path / "report" / "finals.csv").exists()


def test_a_run_without_finals_says_how_to_run_them(store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    page = Page(write_report(store_run(), "first", tmp_path / "report"))
    assert "No finals have been run: nothing above says that one function is better than another." in page.text
    assert "actsearch finals first" in page.text


def test_the_figure_has_a_line_for_each_that_was_not_dropped() -> None:
    with style.styled():
        (axes,) = figure.draw(RESULT, style.WIDE).axes
    intervals = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if len(np.asarray(line.get_xdata())) == 2]
    assert intervals[1:] == [pytest.approx(pair) for pair in ([1.61, 2.01], [1.42, 1.82], [0.31, 0.71])]
    colours = [line.get_color() for line in axes.lines if line.get_linewidth() == 2.4 and line.get_marker() == "None"]
    assert colours == [style.BLUE, style.BLUE, style.GREY]
    labels = [text.get_text() for text in axes.texts]
    assert labels[0] == "x*sigmoid(beta*x)   Swish"
    assert labels[1].startswith(LONG[:40])
    assert labels[2] == "x*sigmoid(x)   SiLU (control)"
    children = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() in ("v", "^", "s")]
    assert children[:3] == pytest.approx([1.41, 1.81, 2.21])
