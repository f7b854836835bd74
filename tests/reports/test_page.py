"""The page and the files beside it: complete, self-contained, escaped, and sensible for runs that found nothing."""

import csv
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from actsearch.config import RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import Outcome
from actsearch.store import RunState
from actsearch_reports.page import write_report
from tests.reports.conftest import SEARCH, DrawOnly, Report, StoreRun

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)> & {{ 7 * 7 }}"


class Page(HTMLParser):
    """What the tests ask of a page: its tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_whole_report(report: Report) -> None:
    assert report.page.name == "report.html"
    page = Page(report.page)
    for words in (
        "A search for activation functions: the ppo controller proposes",
        "13 finished",
        "This is a table of luck until finals are run.",
        "the best of 9 functions stands first",
        "evaluation 3, proposal 3: x*sigmoid(beta*x)",
        "The best function with a trainable β is",
        "the loss became nan at step 17",
        "actsearch search --run first --seed 7 --evaluations 13",
        "recipe.learning_rate",
    ):
        assert words in page.text
    names = (
        "rewards",
        "top_functions",
        "swish_betas",
        "swish_preactivations",
        "betas",
        "preactivations",
        "outcomes",
        "controller",
    )
    for name in names:
        assert (report.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (report.folder / f"{name}.svg").read_bytes()
    assert len(page.all("img")) == len(names)
    assert len(page.all("math")) == 9 + 3  # the table's, and those of the three sections on one function


def test_the_documentation_names_every_file(report: Report) -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    written = [path for path in report.folder.iterdir() if path.suffix in (".csv", ".png")]
    assert len(written) > 15
    assert [path.name for path in written if f"`{path.name}`" not in page and f"`{path.stem}`" not in page] == []


def test_csv_files_hold_the_tables(report: Report) -> None:
    top = rows(report.folder / "top_functions.csv")
    assert [(r["rank"], r["formula"], r["val_accuracy"]) for r in top[:2]] == [
        ("1", "sinc(x) - softplus(x)", "0.83"),
        ("2", "min(x, sin(x))", "0.817"),
    ]
    assert re.fullmatch(r"beta=-?\d\.\d+", top[2]["betas"])
    evaluations = rows(report.folder / "evaluations.csv")
    assert len(evaluations) == len(SEARCH)
    assert evaluations[2]["tokens"] == "scale; identity; gate"
    assert (evaluations[1]["outcome"], evaluations[1]["val_accuracy"]) == ("nonfinite", "")
    assert [r["count"] for r in rows(report.folder / "outcomes.csv")] == ["9", "1", "1", "1", "1"]
    # Swish is the best function with a β: 8 + 8 + 16 + 32 channels and the 33 quantiles of the widest layer.
    assert len(rows(report.folder / "betas.csv")) == 97
    assert len(rows(report.folder / "preactivation_bins.csv")) == 5 * 40
    assert rows(report.folder / "batches.csv")[0]["new_share"] == "1.0"
    config = {r["label"]: r["value"] for r in rows(report.folder / "config.csv")}
    assert config["seed"] == "7"


def test_the_page_asks_for_nothing(report: Report) -> None:
    page = Page(report.page)
    assert not re.findall(r"https?://(?!www\.w3\.org/)|//[a-z]+\.[a-z]+/", page.source)
    assert "script" not in {tag for tag, _ in page.tags}
    for attrs in (*page.all("img"), *page.all("source")):
        assert (attrs.get("src") or attrs.get("srcset") or "").startswith("data:image/svg+xml;base64,")
    for link in page.all("a"):
        assert (report.folder / str(link["href"])).is_file()


def test_the_page_is_accessible(report: Report) -> None:
    page = Page(report.page)
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(image["alt"] or "") > 20 for image in page.all("img"))
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    assert all(table.get("aria-label") for table in page.all("table"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {section["aria-labelledby"] for section in page.all("section")} <= set(ids)


def test_nothing_from_a_run_is_markup(report: Report, store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only()
    search = [
        (tokens, (outcome, accuracy, HOSTILE if outcome is not Outcome.TRAINED else ""))
        for tokens, (outcome, accuracy, _) in SEARCH
    ]
    store = store_run(
        search,
        name=HOSTILE,
        command=HOSTILE,
        state=RunState.PAUSED,
        reason=HOSTILE,
        versions={HOSTILE: HOSTILE},
        formulas={1: HOSTILE, 7: HOSTILE + " sigmoid"},
        config=RunConfig(dataset=f"imagefolder:{HOSTILE}", controller=HOSTILE),
    )
    page = Page(write_report(store, HOSTILE, tmp_path))
    harmless = Page(report.page)
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "<script" not in page.source
    assert page.text.count("alert('1')") >= 6
    assert "{{ 7 * 7 }}" in page.text


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    write_report(report.store, "first", tmp_path)
    files = sorted(p.name for p in report.folder.iterdir())
    assert files == sorted(p.name for p in tmp_path.iterdir())
    for name in files:
        assert (report.folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


FAILED = [(tokens, result) for tokens, result in SEARCH if result[0] is not Outcome.TRAINED]


@pytest.mark.parametrize(
    ("search", "said", "images"),
    [
        (
            [],
            [
                "Nothing has been evaluated yet",
                "so there is nothing to rank",
                "so no β has been either",
                "so no pre-activations were counted",
                "No evaluation has finished yet",
                "The controller has not been told a batch yet",
                "This search did not find Swish.",
            ],
            0,
        ),
        ([(SEARCH[0][0], None)], ["None of the 1 evaluation asked has finished", "1 asked and not finished"], 0),
        (FAILED, ["No function has been trained to the end", "what became of the 4 evaluations asked"], 2),
        (
            [(tokens, result) for tokens, result in SEARCH[7:11]],
            ["None of the 4 trained functions has a trainable β"],
            4,
        ),
    ],
    ids=["nothing", "in flight", "all failed", "without beta"],
)
def test_a_run_with_little_says_why(
    search: Sequence[tuple[Sequence[str], object]],
    said: Sequence[str],
    images: int,
    store_run: StoreRun,
    draw_only: DrawOnly,
    tmp_path: Path,
) -> None:
    draw_only()
    page = Page(write_report(store_run(search), "first", tmp_path))
    for words in said:
        assert words in page.text
    assert len(page.all("img")) == images


def test_a_controller_without_measures(store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only("controller")
    store = store_run(SEARCH[:5], config=RunConfig(controller="random", batch=5))
    page = Page(write_report(store, "first", tmp_path))
    assert "The random controller reports no measures of its own" in page.text
    assert (tmp_path / "controller.png").read_bytes().startswith(b"\x89PNG")


def test_no_such_run(store_run: StoreRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run named 'second'; known: first"):
        write_report(store_run([]), "second", tmp_path / "report")
    assert not (tmp_path / "report").exists()
