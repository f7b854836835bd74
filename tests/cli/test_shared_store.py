"""Commands on a run whose store is a shared PostgreSQL database, from a machine that has no folder of it."""

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

import actsearch
from actsearch.errors import RunError
from actsearch.runs import RunFolder
from actsearch.store import RunState
from actsearch_cli.main import run
from actsearch_controller import driving
from tests.actsearch.stored_run import SEARCH, stored_run
from tests.cli.test_status import seen
from tests.cli.test_verify import verified
from tests.postgres import Server


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


def test_why_nothing_moves_is_seen_on_the_machine_that_drives(
    tmp_path: Path, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = RunFolder.at(tmp_path / "here" / "first")
    with here.lock():
        seen(here, "unix:///nowhere")
        (there / "first").mkdir(parents=True)
        seen(RunFolder(there / "first", here.database), "unix:///nowhere")  # left from when it was driven there
        near, far = (
            json.loads(printed(capsys, "status", "first", "--json", "--runs-dir", str(folder)))
            for folder in (here.path.parent, there)
        )
        assert near["waiting"] == ["the server unix:///nowhere is down: the run goes on when it is back"]
        assert (near["workers"]["all"], near["driven_elsewhere_by"]) == (0, None)
        assert (far["state"], far["is_driven"], far["workers"], far["waiting"]) == ("running", True, None, [])
        assert far["driven_elsewhere_by"].startswith("actsearch ")
        lines = printed(capsys, "status", "first", "--runs-dir", str(there))
        assert f"not seen from here: {far['driven_elsewhere_by']} drives the run" in lines


def test_watching_ends_with_the_driver(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "watch", "first", "--runs-dir", str(there))
    assert told == "first interrupted, 5 of 5 evaluations\n"


def test_finals_and_verification_are_printed_anywhere(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driving, "POLL_SECONDS", 0.0)
    here = RunFolder.at(tmp_path / "here" / "first")
    with here.open() as (store, name):
        store.set_state(name, RunState.DONE)
    verified(here)
    found = json.loads(printed(capsys, "finals", "first", "--json", "--runs-dir", str(there)))
    assert found["finals"]["state"] == "done"
    verification = json.loads(printed(capsys, "verify", "first", "--json", "--runs-dir", str(there)))["verification"]
    assert (verification["state"], verification["reference"]) == ("done", "ReLU")
    assert not there.exists()


def test_the_doctor_tries_the_database(
    there: Path,
    postgres_server: Server,
    postgres_url: URL,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("actsearch_workers.doctor.machine", lambda *_: ())
    assert printed(capsys, "doctor", "--runs-dir", str(there)).endswith(f"{postgres_url}, runs: 1\n")
    empty = postgres_server.new_database().render_as_string()
    assert printed(capsys, "doctor", "--store", empty).endswith("empty: the first search makes its tables\n")
    assert run(["doctor", "--store", postgres_url.set(database="nosuch").render_as_string()]) == 1
    assert 'database "nosuch" does not exist' in capsys.readouterr().out


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
