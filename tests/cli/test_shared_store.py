"""Commands on a run whose store is a shared PostgreSQL database, from a machine that has no folder of it."""

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

import actsearch
from actsearch.errors import RunError
from actsearch_cli.main import run
from tests.actsearch.stored_run import SEARCH, stored_run


@pytest.fixture
def there(tmp_path: Path, postgres_url: URL, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs on another machine than the run's; the variable names the database."""
    stored_run(tmp_path / "here", "first", database=postgres_url)
    monkeypatch.setenv("ACTSEARCH_STORE_URL", postgres_url.render_as_string())
    return tmp_path / "there"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0
    return capsys.readouterr().out


def test_any_machine_sees_the_run(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = json.loads(printed(capsys, "status", "first", "--json", "--runs-dir", str(there)))
    assert (status["run"], status["evaluations"]["told"], status["best"]["reward"]) == ("first", 5, 0.95)
    assert status["state"] == "interrupted"
    rows = list(
        csv.DictReader(io.StringIO(printed(capsys, "export", "first", "--format", "csv", "--runs-dir", str(there))))
    )
    assert [row["tokens"] for row in rows] == [" ".join(tokens) for tokens, *_ in SEARCH]
    assert "max(x, 0)" in printed(capsys, "export", "max(x,0)", "--format", "sympy", "--runs-dir", str(there))
    assert not there.exists(), "to look leaves nothing behind"


def test_runs_lists_the_database_not_the_folder(
    tmp_path: Path, there: Path, postgres_url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run(there, "second", database=postgres_url)
    stored_run(there, "alone")
    listed = json.loads(printed(capsys, "runs", "--json", "--runs-dir", str(there)))
    assert [found["run"] for found in listed] == ["first", "second"]


@pytest.mark.slow
def test_the_report_goes_where_it_is_asked_for(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "report", "first", "--runs-dir", str(there))
    assert Path(page.strip()) == there / "first" / "report" / "report.html"
    assert "Swish" in (there / "first" / "report" / "report.html").read_text()


def test_a_run_that_no_database_has(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "nothing", "--runs-dir", str(there)]) == 2
    assert capsys.readouterr().err == "error: no run named 'nothing'; known: first\n"


def test_stopping_works_on_the_machine_that_drives(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stop", "first", "--runs-dir", str(there)]) == 2
    assert "run 'first' is not at work on this machine" in capsys.readouterr().err


def test_results_from_python(there: Path, postgres_url: URL) -> None:
    found = actsearch.load("first", there, store=postgres_url.render_as_string())
    assert found.best().val_accuracy == 0.95
    with pytest.raises(RunError):
        actsearch.load("first", there)
