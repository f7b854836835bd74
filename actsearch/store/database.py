"""Connecting to the store's database and bringing its schema up to date.

SQLite by default: write-ahead log, so that readers see the last commit while the controller writes; PostgreSQL by
URL. A new database gets its tables from the mappings; an older one is migrated by the Alembic revisions inside this
package, which need no alembic.ini.
"""

import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from actsearch.errors import RunError, RunPausedError, StoreMissingError
from actsearch.store.address import shown
from actsearch.store.schema import Base

HEAD = "0005"
"""The newest revision under `migrations/versions`."""

_VERSION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where Alembic keeps a database's revision."""

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a connection waits for another one's SQLite transaction."""

INSUFFICIENT_PRIVILEGE = "42501"
"""PostgreSQL's code of a right that a role does not have."""

_UNANSWERED = "no password supplied"
"""What libpq says where a server asks for a password and there is none."""

_GRANTED = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What the owner of a table lets others do with it; to change the table itself is the owner's alone."""

CONNECT_SECONDS = 10
"""How long a PostgreSQL server may take to answer."""

SILENCE_SECONDS = 60
"""After so long without an answer the other end of a PostgreSQL connection counts as gone, and so do its locks."""

_MIGRATION_LOCK = 0x6163747365617263
"""PostgreSQL's advisory lock of whoever brings a schema up to date."""


def connect(where: str | Path | URL, *, create: bool) -> Engine:
    """An engine on a migrated database; once it is open, a database that fails raises RunPausedError.

    Args:
        where: a path of an SQLite file, or an SQLAlchemy URL.
        create: whether a missing SQLite file, or the tables of an empty database, are made; otherwise an error.

    Raises:
        StoreMissingError: no such file, or an empty database.
        RunError: no such database, a URL that is none, or a database of a newer actsearch; once it is open, a right
            that the user of a PostgreSQL database does not have.
    """
    url = _url(where)
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database and not create and not Path(url.database).is_file():
        raise StoreMissingError(f"no run store at {url.database}; a search makes one")
    try:
        engine = _sqlite(url) if is_sqlite else _postgresql(url)
    except (ImportError, ArgumentError) as err:
        hint = "; pip install 'psycopg[binary]'" if isinstance(err, ImportError) else ""
        raise RunError(f"cannot use {shown(url)} as a run store: {err}{hint}") from err
    try:
        _bring_up_to_date(engine, create=create)
    except DBAPIError as err:
        engine.dispose()
        why = _denied(err.orig, err.statement) or _line(err.orig)
        if url.password == "" and _UNANSWERED in why:  # it was kept back (actsearch.store.address.without_ours)
            why += "; set ACTSEARCH_STORE_URL to that database, or name it by --store"
        raise RunError(f"cannot open the run store {shown(url)}: {why}") from err
    except RunError:
        engine.dispose()
        raise

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        # A pool's ping finds lost connections and makes new ones by itself.
        is_infrastructure = isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError)
        if is_infrastructure and not context.is_pre_ping:
            raise RunPausedError(f"the run store {shown(url)} fails: {_line(context.original_exception)}")
        if denied := _denied(context.original_exception, context.statement):
            raise RunError(f"the run store {shown(url)} does not let its user do that: {denied}")

    return engine


def reader(engine: Engine) -> Engine:
    """The same engine for transactions that read: each sees one moment of the database, whatever others write."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writer(engine: Engine) -> Engine:
    """The same engine for transactions that write: on SQLite they take the write lock when they begin.

    A transaction that reads first and asks for the lock later fails at once when another one has written between.
    """
    return engine.execution_options(actsearch_writes=True)


def _denied(err: BaseException | None, statement: str | None) -> str | None:
    """Which right a PostgreSQL role lacks for a statement and who can help, in one line; None for any other error."""
    if getattr(err, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
        return None
    right = (statement or "?").split(maxsplit=1)[0].upper()
    # The rest of its message is the statement, and a pointer into it.
    primary = getattr(getattr(err, "diag", None), "message_primary", None)
    who = "its owner can grant it" if right in _GRANTED else "the tables' owner makes and changes them"
    return f"{_line(primary or err)} ({right}); {who}, see docs/shared-store.md"


def _line(err: object) -> str:
    return " ".join(str(err).split())


def _url(where: str | Path | URL) -> URL:
    if isinstance(where, URL):
        return where
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        return make_url(where)
    except ArgumentError as err:
        raise RunError("the run store is a path or a URL such as postgresql+psycopg://user@host/database") from err


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's sqlite3 would begin transactions by itself, and not before DDL: SQLAlchemy's begin does it (below).
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # A killed process loses nothing. A power cut may undo the last transactions as a whole: the run resumes
        # from the one before and asks for the same evaluations again.
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("actsearch_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise ArgumentError("it is SQLite or PostgreSQL")
    silence = {"keepalives_idle": SILENCE_SECONDS // 2, "keepalives_interval": 10, "keepalives_count": 3}
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": f"actsearch {socket.gethostname()[:40]} {os.getpid()}",
        "tcp_user_timeout": 1000 * SILENCE_SECONDS,
        **silence,
        # The server's side too: the lock of a machine that lost its power must not be held for hours.
        "options": " ".join(f"-c tcp_{name}={value}" for name, value in silence.items()),
    }
    if url.password == "":  # SQLAlchemy leaves it out, and libpq would look for one (actsearch.store.address)
        arguments["password"] = ""
    return create_engine(url, connect_args=arguments, pool_pre_ping=True)


def _bring_up_to_date(engine: Engine, *, create: bool) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
        if found == HEAD:
            return
        if found is None and not create:
            raise StoreMissingError(f"no run store at {shown(engine.url)}; a search makes one")
    # The lock is held from the check to the end: of two processes that open a new store one waits.
    with writer(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if inspect(connection).has_table(_VERSION.name):
            _migrate(connection)
        else:
            Base.metadata.create_all(connection, checkfirst=False)
            _VERSION.create(connection)
            connection.execute(insert(_VERSION).values(version_num=HEAD))


def _migrate(connection: Connection) -> None:
    # Imported here: alembic takes a fifth of a second, and most openings find the schema up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as err:
        found = _revision(connection)
        raise RunError(f"the run store has schema {found}, this actsearch knows up to {HEAD}; use a newer one") from err


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
