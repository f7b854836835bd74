"""Commands on a run whose store is a shared PostgreSQL database, from a machine that has no folder of it."""

import csv
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy.engine import URL

import actsearch
from actsearch.errors import ActsearchError, RunError
from actsearch.runs import RunFolder
from actsearch.store import RunState
from actsearch_cli.machine import Machine
from actsearch_cli.main import run
from actsearch_cli.options import existing_run
from actsearch_controller import driving
from actsearch_workers import pool
from actsearch_workers.connection import Address
from tests.actsearch.stored_run import SEARCH, stored_run
from tests.cli.test_status import seen
from tests.cli.test_verify import verified
from tests.postgres import PASSWORD, Server


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


def test_results_from_python(there: Path, postgres_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    found = actsearch.load("first", there, store=postgres_url.render_as_string())
    assert found.best().val_accuracy == 0.95
    assert actsearch.load("first", there).best().val_accuracy == 0.95, "the variable names the database"
    monkeypatch.delenv("ACTSEARCH_STORE_URL")
    with pytest.raises(RunError, match="no run named 'first'"):
        actsearch.load("first", there)


@pytest.mark.parametrize(
    ("named", "goes"),
    [
        ("postgresql+psycopg://ann@db.example.org/actsearch", True),
        ("postgresql+psycopg://ann@db.example.org:5432/actsearch", True),
        ("postgresql+psycopg://ann@evil.example.org/actsearch", False),
        ("postgresql+psycopg://eve@db.example.org/actsearch", False),
        ("postgresql+psycopg://ann@db.example.org:1/actsearch", False),
        ("postgresql+psycopg://ann@db.example.org/other", False),
        ("postgresql+psycopg://ann@db.example.org/actsearch?host=evil.example.org", False),
        ("postgresql+psycopg://ann@db.example.org/actsearch?hostaddr=192.0.2.1", True),
    ],
)
def test_a_password_goes_to_the_database_that_it_is_for(
    named: str, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's folder may be a gift, and name a server that waits for passwords."""
    (tmp_path / "gift").mkdir()
    (tmp_path / "gift" / "config.toml").write_text("", encoding="utf-8")
    (tmp_path / "gift" / "store.url").write_text(f"{named}\n", encoding="utf-8")
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    monkeypatch.setenv("ACTSEARCH_STORE_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.delenv("ACTSEARCH_STORE_URL", raising=False)
    path = str(tmp_path / "gift")
    unknown = existing_run(tmp_path, path, None).database
    assert unknown is not None
    assert not unknown.password, "nothing says which database the password is for"
    assert "hostaddr" not in unknown.query, "~/.pgpass is asked for the host, and the password would go elsewhere"
    monkeypatch.setenv("ACTSEARCH_STORE_URL", "postgresql://ann@db.example.org/actsearch?sslmode=verify-full")
    database = existing_run(tmp_path, path, None).database
    assert database is not None
    assert (database.password or None) == ("hunter2" if goes else None)
    if goes:
        assert dict(database.query) == {"sslmode": "verify-full"}, "nothing of it is the folder's"


class Curious:
    """A server that asks whoever comes for a password, and keeps the answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                while len(client.recv(10_000)) == 8:  # asks for encryption
                    client.sendall(b"N")
                client.sendall(b"R\0\0\0\x08\0\0\0\x03")  # AuthenticationCleartextPassword
                self.answers.append(client.recv(10_000))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def curious() -> Iterator[Curious]:
    server = Curious()
    yield server
    server.close()


@pytest.mark.parametrize("own", ["", "postgresql://ann@localhost:1/actsearch"])
@pytest.mark.parametrize("how", ["PGPASSWORD", "ACTSEARCH_STORE_PASSWORD_FILE", "service file"])
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:{port}/actsearch", "localhost:{port}/actsearch?hostaddr=127.0.0.1", "x/x?host=127.0.0.1:{port}"],
)
def test_a_gift_learns_no_password(
    address: str,
    how: str,
    own: str,
    curious: Curious,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "gift").mkdir()
    (tmp_path / "gift" / "config.toml").write_text("", encoding="utf-8")
    url = f"postgresql://ann@{address.format(port=curious.port)}"
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    (tmp_path / "services").write_text("[mine]\npassword=hunter2\n", encoding="utf-8")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("ACTSEARCH_STORE_URL", own)
    if how == "service file":
        url += ("&" if "?" in url else "?") + "service=mine"
    else:
        monkeypatch.setenv(how, "hunter2" if how == "PGPASSWORD" else str(tmp_path / "password"))
    (tmp_path / "gift" / "store.url").write_text(f"{url}\n", encoding="utf-8")
    assert run(["status", str(tmp_path / "gift")]) == 2
    error = capsys.readouterr().err
    assert "set ACTSEARCH_STORE_URL to that database, or name it by --store" in error
    assert error.count("\n") == 1
    assert "***" not in error
    with pytest.raises(ActsearchError, match="set ACTSEARCH_STORE_URL to that database"):
        actsearch.load(tmp_path / "gift")
    assert not any(curious.answers)


@pytest.mark.parametrize("how", ["PGPASSWORD", "ACTSEARCH_STORE_PASSWORD_FILE", "ACTSEARCH_STORE_URL"])
def test_a_folder_of_ones_own_database_gets_the_password(
    how: str,
    tmp_path: Path,
    postgres_server: Server,
    postgres_url: URL,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stored_run(tmp_path, "first", database=postgres_url)
    assert postgres_url.database is not None
    guarded = postgres_server.url(postgres_url.database, "guarded")
    postgres_server.execute(f"ALTER DATABASE {postgres_url.database} OWNER TO guarded")
    postgres_server.execute("GRANT pg_read_all_data TO guarded")
    (folder.path / "store.url").write_text(f"{guarded.render_as_string()}\n", encoding="utf-8")
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("ACTSEARCH_STORE_URL", guarded.render_as_string())
    if how == "ACTSEARCH_STORE_URL":
        monkeypatch.setenv(how, guarded.set(password=PASSWORD).render_as_string(hide_password=False))
    else:
        monkeypatch.setenv(how, PASSWORD if how == "PGPASSWORD" else str(tmp_path / "password"))
    assert json.loads(printed(capsys, "status", str(folder.path), "--json"))["run"] == "first"
    assert actsearch.load(folder.path).name == "first"


def test_workers_are_not_given_the_password(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, str] = {}

    def started(commands: Sequence[Sequence[str]], logs: Path, environment: Mapping[str, str]) -> NoReturn:
        given.update(environment)
        raise RunError("enough seen")

    monkeypatch.setattr(pool, "LocalWorkers", started)
    machine = Machine(devices=["cpu"], address=Address("redis://localhost:1", None), allow_user_code=False)
    with pytest.raises(RunError, match="enough seen"), machine.started(RunFolder.at(tmp_path / "here" / "first")):
        pass
    for name in ("ACTSEARCH_STORE_URL", "ACTSEARCH_STORE_PASSWORD_FILE", "PGPASSWORD"):
        assert given[name] == ""
