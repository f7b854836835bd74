"""PostgreSQL as a store that several people and machines share: writers at once, one driver a run, clear failures."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, make_url

from actsearch.config import RunConfig
from actsearch.errors import ConfigError, RunError, RunExistsError, RunPausedError
from actsearch.runs import RunFolder, create_run, find_run, run_folders
from actsearch.store import RunState, Store
from actsearch.store.address import PASSWORD_FILE_VARIABLE, URL_VARIABLE, find_store, shown, without_password
from tests.actsearch.stored_run import SEARCH, stored_run
from tests.postgres import PASSWORD, Server

SHARED_STORE = Path(__file__).parents[2] / "docs" / "shared-store.md"

WRITER = """
import sys
from datetime import UTC, datetime
from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.errors import RunExistsError
from actsearch.store import Advance, NewEvaluation, NewProposal, Store

url, mine = sys.argv[1:]
with Store.open(url) as store:
    print("open", flush=True)
    sys.stdin.readline()
    for name in ("shared", mine):
        try:
            store.create_run(name, RunConfig(), command=mine, versions={})
            print("made", name)
        except RunExistsError as err:
            print(err)
    for batch in range(10):
        keys = [f"{batch * 4 + slot:016x}" for slot in range(4)]
        new = tuple(NewEvaluation(key=key, tokens=("a",), formula="f", canonical=key, names=(), seed=1) for key in keys)
        slots = tuple(NewProposal(tokens=("a",), evaluation=key, is_new=True) for key in keys)
        store.advance(mine, Advance(
            told=None, proposed={batch: slots}, new=new, controller=mine.encode(), trace=str(batch), seconds=0.0
        ))
        for key in keys:
            assert store.record(Evaluation(run=mine, evaluation=key, outcome=Outcome.TRAINED, val_accuracy=0.5))
"""

HOLDER = """
import sys
from actsearch.store import Store
with Store.open(sys.argv[1]) as store, store.sole_driver("first"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(postgres_url: URL) -> Iterator[Store]:
    with Store.open(postgres_url) as opened:
        opened.create_run("first", RunConfig(), command="", versions={})
        yield opened


def process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(running: "subprocess.Popen[str]") -> str:
    assert running.stdout is not None
    return running.stdout.readline()


def test_two_processes_make_tables_and_runs_and_write_at_once(postgres_server: Server) -> None:
    url = postgres_server.new_database()
    writers = [process(WRITER, url.render_as_string(), name) for name in ("ann", "ben")]
    try:
        assert [said(writer) for writer in writers] == ["open\n", "open\n"]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        lines = [writer.communicate(timeout=100)[0].splitlines() for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    taken = "there is a run named 'shared' already; choose another name or resume it"
    assert sorted(first for first, _ in lines) == ["made shared", taken]
    assert [second for _, second in lines] == ["made ann", "made ben"]
    with Store.open(url, create=False) as store:
        assert sorted(run.name for run in store.runs()) == ["ann", "ben", "shared"]
        for name in ("ann", "ben"):
            summary = store.summary(name)
            assert (summary.asked, summary.told, summary.batches_asked) == (40, 40, 10)
            assert store.controller(name) == name.encode()
            assert store.run(name).trace == "9"


# --- one driver a run -------------------------------------------------------------------------------------------------


def test_a_run_has_one_driver_and_none_when_that_is_killed(store: Store, postgres_url: URL) -> None:
    store.create_run("second", RunConfig(), command="", versions={})
    assert store.driver("first") is None
    with process(HOLDER, postgres_url.render_as_string()) as holder:
        assert said(holder) == "held\n"
        assert (store.driver("first") or "").split()[::2] == ["actsearch", str(holder.pid)]
        with (
            pytest.raises(RunError, match=rf"run 'first' is being driven by actsearch \S+ {holder.pid}; stop it first"),
            store.sole_driver("first"),
        ):
            pass
        with store.sole_driver("second"):
            assert store.driver("second") is not None
        assert store.driver("second") is None
        holder.kill()
        holder.wait()
    for _ in range(1000):  # the server notices the closed socket by itself
        if store.driver("first") is None:
            break
    with store.sole_driver("first"):
        pass


def test_two_folders_of_one_run_are_driven_by_one_process(tmp_path: Path, postgres_url: URL) -> None:
    here = create_run(tmp_path / "here", "first", RunConfig(), database=postgres_url)
    there = find_run(tmp_path / "there", "first", database=postgres_url)
    assert there == RunFolder(tmp_path / "there" / "first", postgres_url)
    with here.lock():
        assert driver(there) is not None
        assert here.is_driven_here
        assert not there.is_driven_here
        with pytest.raises(RunError, match="run 'first' is being driven by actsearch "), there.lock():
            pass
    with there.lock():
        assert driver(here) is not None
        assert not here.is_driven_here
        assert RunFolder.at(there.path, known=postgres_url) == there, (
            "whoever drives a run has its settings, and knows where it is"
        )
    assert driver(here) is None


def driver(folder: RunFolder) -> str | None:
    with folder.open() as (store, name):
        return store.driver(name)


# --- names and folders ------------------------------------------------------------------------------------------------


def test_a_name_is_taken_in_the_whole_database(tmp_path: Path, postgres_url: URL) -> None:
    create_run(tmp_path / "a", "first", RunConfig(), database=postgres_url)
    with pytest.raises(RunExistsError, match="there is a run named 'first' already"):
        create_run(tmp_path / "b", "first", RunConfig(), database=postgres_url)
    assert not (tmp_path / "b" / "first").exists()
    names = [create_run(tmp_path / where, None, RunConfig(), database=postgres_url).name for where in ("a", "b", "a")]
    assert names == ["run1", "run2", "run3"]
    found = run_folders(tmp_path / "b", database=postgres_url)
    assert [folder.name for folder in found] == ["first", "run1", "run2", "run3"]


def test_a_folder_remembers_its_database_without_the_password(tmp_path: Path, postgres_url: URL) -> None:
    folder = create_run(tmp_path, "first", RunConfig(seed=5), database=postgres_url.set(password="hunter2"))
    assert not folder.store.exists()
    for path in folder.path.rglob("*"):
        assert not path.is_file() or "hunter2" not in path.read_text()
    found = find_run(tmp_path, "first")
    assert found.database is not None
    assert without_password(found.database) == postgres_url
    with found.open() as (store, name):
        assert store.run(name).config.seed == 5
    with pytest.raises(RunError, match="no run named 'second'; known: first"):
        find_run(tmp_path, "second", database=postgres_url)


def test_a_run_of_the_same_name_in_the_folder_is_left_alone(tmp_path: Path, postgres_url: URL) -> None:
    create_run(tmp_path / "a", "first", RunConfig(), database=postgres_url)
    own = create_run(tmp_path / "b", "first", RunConfig())
    with pytest.raises(RunError, match="holds a run that is not the database's 'first'; give another --runs-dir"):
        find_run(tmp_path / "b", "first", database=postgres_url)
    assert find_run(tmp_path / "b", "first") == own


# --- addresses and passwords ------------------------------------------------------------------------------------------


def test_the_address_comes_from_the_option_else_the_variable() -> None:
    assert find_store(None, {}) is None
    assert find_store(None, {URL_VARIABLE: ""}) is None
    url = "postgresql+psycopg://ann@db/search"
    assert find_store("postgresql://ann@db/search", {URL_VARIABLE: "postgres://x/y"}) == make_url(url)
    secret = find_store(None, {URL_VARIABLE: "postgres://ann:hunter2@db/search"})
    assert secret is not None
    assert secret.password == "hunter2"
    assert "hunter2" not in f"{secret!r} {without_password(secret).render_as_string(hide_password=False)}"


def test_a_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss/word\n")
    found = find_store("postgresql://ann@db/search", {PASSWORD_FILE_VARIABLE: str(file)})
    assert found is not None
    assert found.password == "p@ss/word"
    (tmp_path / "empty").write_text("\n")
    for wrong, message in (("empty", "is empty"), ("nothing", "cannot read the store's password file")):
        with pytest.raises(ConfigError, match=message):
            find_store("postgresql://ann@db/search", {PASSWORD_FILE_VARIABLE: str(tmp_path / wrong)})
    with pytest.raises(ConfigError, match="a password stands both in"):
        find_store(None, {URL_VARIABLE: "postgresql://a:b@db/x", PASSWORD_FILE_VARIABLE: str(file)})


def test_a_database_of_any_url_is_shown_without_its_password() -> None:
    assert shown(make_url("postgresql://ann:s3cr3t@hunter2@db/x")) == "postgresql://***"
    assert shown(make_url("postgresql://ann:s3cr3t@db/x?password=hunter2")) == "postgresql://ann:***@db/x?password=***"
    assert shown(make_url("sqlite:///runs/a@b/store.sqlite")) == "sqlite:///runs/a%40b/store.sqlite"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("postgresql://ann:hunter2@db/x", r"a command line shows its password .* PGPASSWORD or ~/\.pgpass"),
        ("postgresql://ann@db/x?password=hunter2", "a command line shows its password"),
        ("mysql://ann:hunter2@db/x", r"the store is a PostgreSQL database, as in postgresql://USER@HOST/DATABASE"),
        ("runs/first", "--store is not the URL of a database"),
        ("postgresql://ann@db:many/x", "--store is not the URL of a database"),
        ("postgresql://ann:s3cr3t@hunter2@db/x", "--store has more than one @"),
        ("postgresql://ann:s3cr3t@h/hunter2@db/x", "--store has more than one @"),
        ("mysql://ann:s3cr3t@hunter2@db/x", "--store has more than one @"),
        ("postgresql://ann:s3/hunter2@db/x", "a command line shows its password"),
        ("postgresql://ann:s3?hunter2@db/x", "a command line shows its password"),
        ("postgresql://ann:s3#hunter2@db/x", "a command line shows its password"),
        ("postgresql://ann:s3:hunter2@db/x", "a command line shows its password"),
    ],
)
def test_an_option_that_is_refused_in_one_line(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        find_store(option, {})
    assert "hunter2" not in str(raised.value)
    assert "s3" not in str(raised.value)
    assert "\n" not in str(raised.value)


# --- several roles ----------------------------------------------------------------------------------------------------


@pytest.fixture
def roles(postgres_server: Server) -> Iterator[Callable[[str], URL]]:
    """The roles of docs/shared-store.md, made by its statements, and `eve` without any right: the way of each."""
    group, looker, _ = recipe()
    try:
        execute(postgres_server, "postgres", f"{group} CREATE ROLE eve LOGIN;")
        execute(postgres_server, "actsearch", looker)
        yield lambda user: postgres_server.url("actsearch", user)
    finally:
        execute(postgres_server, "postgres", "DROP DATABASE IF EXISTS actsearch WITH (FORCE);")
        execute(postgres_server, "postgres", "DROP ROLE IF EXISTS ann, ben, cat, eve, searchers;")


def recipe() -> list[str]:
    """The blocks of statements in docs/shared-store.md."""
    section = SHARED_STORE.read_text(encoding="utf-8").partition("## A role for each person\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)(?:^    .+\n)+", section)


def execute(server: Server, database: str, statements: str) -> None:
    """Runs statements one by one, as psql does: not all of them may stand in a transaction."""
    to = f"host={server.folder} user=actsearch dbname={database}"
    with psycopg.connect(to, autocommit=True) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement.encode())


def test_each_person_has_a_role(tmp_path: Path, roles: Callable[[str], URL]) -> None:
    of_ann = stored_run(tmp_path / "ann", "first", database=roles("ann"))
    assert told(roles("ben"), "first") == len(SEARCH)
    stored_run(tmp_path / "ben", "second", database=roles("ben"))
    with of_ann.lock():
        for user in ("ben", "cat"):  # of one group, and of none
            with (
                Store.open(roles(user), create=False) as store,
                pytest.raises(RunError, match=r"run 'first' is being driven by actsearch \S+ \d+; stop it first"),
                store.sole_driver("first"),
            ):
                pass
    with find_run(tmp_path / "there", "first", database=roles("ben")).lock():
        assert (driver(of_ann) or "").startswith("actsearch ")
    for user in ("ann", "cat"):
        assert told(roles(user), "second") == len(SEARCH)


def told(url: URL, run: str) -> int:
    with Store.open(url, create=False) as store:
        return store.summary(run).told


def test_a_member_brings_the_tables_of_another_up_to_date(roles: Callable[[str], URL]) -> None:
    make_older(roles("ann"))
    with pytest.raises(RunError, match=r"cannot open the run store .*must be owner of table .* \(CREATE\); ") as raised:
        Store.open(roles("cat"), create=False)
    assert_one_line(raised)
    with Store.open(roles("ben"), create=False) as store:
        assert store.runs() == []


def make_older(url: URL) -> None:
    """Makes the tables, as the last but one schema has them."""
    Store.open(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        for index in ("outcome", "replicate", "reward"):
            connection.execute(text(f"DROP INDEX ix_evaluations_{index}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    engine.dispose()


def test_a_role_without_rights_gets_one_line(tmp_path: Path, roles: Callable[[str], URL]) -> None:
    with pytest.raises(
        RunError, match=r"permission denied for schema public \(CREATE\); .*docs/shared-store.md"
    ) as raised:
        Store.open(roles("eve"))
    assert_one_line(raised)
    create_run(tmp_path, "first", RunConfig(), database=roles("ann"))
    with pytest.raises(
        RunError, match=r"cannot open .* permission denied for table alembic_version \(SELECT\); "
    ) as raised:
        Store.open(roles("eve").set(password="hunter2"), create=False)
    assert_one_line(raised)


def test_a_role_that_only_looks_gets_one_line_when_it_writes(tmp_path: Path, roles: Callable[[str], URL]) -> None:
    create_run(tmp_path, "first", RunConfig(), database=roles("ann"))
    url = roles("cat").set(password="hunter2")
    with Store.open(url) as store:
        with pytest.raises(RunError, match=r"the run store .*denied for table runs \(UPDATE\); ") as raised:
            store.set_state("first", RunState.DONE)
        assert_one_line(raised)
        assert store.run("first").state is not RunState.DONE
    with pytest.raises(RunError, match=r"the run store .*permission denied for \w+ runs\w* \(INSERT\); ") as raised:
        create_run(tmp_path, "second", RunConfig(), database=url)
    assert_one_line(raised)
    assert not (tmp_path / "second").exists()


def assert_one_line(raised: pytest.ExceptionInfo[RunError]) -> None:
    assert "\n" not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_tables_of_one_role_are_given_to_the_group(postgres_server: Server, roles: Callable[[str], URL]) -> None:
    execute(postgres_server, "postgres", "CREATE ROLE dan LOGIN; CREATE DATABASE older OWNER dan")
    try:
        with Store.open(postgres_server.url("older", "dan")) as store:
            store.create_run("first", RunConfig(), command="", versions={})
        execute(postgres_server, "older", recipe()[-1])
        execute(postgres_server, "postgres", "ALTER ROLE ben IN DATABASE older SET role = 'searchers'")
        with Store.open(postgres_server.url("older", "ben")) as store:
            store.set_state("first", RunState.DONE)
    finally:
        execute(postgres_server, "postgres", "DROP DATABASE IF EXISTS older WITH (FORCE); DROP ROLE dan")


# --- failures ---------------------------------------------------------------------------------------------------------


def test_roles_with_a_password_right_and_wrong(postgres_server: Server, postgres_url: URL) -> None:
    assert postgres_url.database is not None
    guarded = postgres_server.url(postgres_url.database, "guarded")
    postgres_server.execute(f"ALTER DATABASE {postgres_url.database} OWNER TO guarded")
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO guarded"))
    engine.dispose()
    with Store.open(guarded.set(password=PASSWORD)) as store:
        assert store.runs() == []
    with pytest.raises(RunError, match=r"cannot open the run store .*password authentication failed") as raised:
        Store.open(guarded.set(password="hunter2"))
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", ["host", "database"])
def test_a_database_that_is_not_there(part: str, postgres_url: URL) -> None:
    missing = {"host": postgres_url.set(query={"host": "/nowhere"}), "database": postgres_url.set(database="nosuch")}
    with pytest.raises(
        RunError, match=r"cannot open the run store postgresql\+psycopg://.*(/nowhere|nosuch)"
    ) as raised:
        Store.open(missing[part])
    assert "\n" not in str(raised.value)


def test_reading_an_empty_database_makes_no_tables(postgres_server: Server) -> None:
    url = postgres_server.new_database()
    with pytest.raises(RunError, match=r"no run store at postgresql.*; a search makes one"):
        Store.open(url, create=False)
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_database_of_a_newer_actsearch_is_refused(postgres_url: URL) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RunError, match="the run store has schema 9999"):
        Store.open(postgres_url)
    engine.dispose()


def test_a_connection_lost_between_transactions_is_made_anew(store: Store, postgres_server: Server) -> None:
    assert store.run("first").name == "first"
    disconnect(postgres_server)
    assert store.run("first").name == "first"


def test_a_connection_lost_inside_a_transaction_pauses(store: Store, postgres_server: Server) -> None:
    with store.sole_driver("first"), pytest.raises(RunPausedError, match=r"the run store .* fails: ") as raised:
        cut_off_in_the_middle(store, postgres_server)
    assert "\n" not in str(raised.value)
    assert store.run("first").reason == ""


def cut_off_in_the_middle(store: Store, server: Server) -> None:
    with store._writer.begin() as connection:
        connection.execute(text("UPDATE runs SET reason = 'half way'"))
        disconnect(server)
        connection.execute(text("UPDATE runs SET reason = 'more than that'"))


def test_a_reason_with_a_zero_byte_is_kept_without_it(store: Store) -> None:
    store.set_state("first", RunState.PAUSED, "a worker said \0 and was gone")
    assert store.run("first").reason == "a worker said  and was gone"


def disconnect(server: Server) -> None:
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'actsearch %'")
