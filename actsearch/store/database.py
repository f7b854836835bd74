"""Connecting to the store's database and bringing its schema up to date.

SQLite by default: write-ahead log, so that readers see the last commit while the controller writes; PostgreSQL by
URL. A new database gets its tables from the mappings; an older one is migrated by the Alembic revisions inside this
package, which need no alembic.ini.
"""

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
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from actsearch.errors import RunError
from actsearch.store.schema import Base

HEAD = "0004"
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


def connect(where: str | Path, *, create: bool) -> Engine:
    """An engine on a migrated database.

    Args:
        where: a path of an SQLite file, or an SQLAlchemy URL.
        create: whether a missing SQLite file is made; otherwise it is an error.

    Raises:
        RunError: no such file, no such database, a URL that is none, or a database of a newer actsearch.
    """
    url = _url(where)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and url.database and not create and not Path(url.database).is_file():
        raise RunError(f"no run store at {url.database}; a search makes one")
    try:
        engine = _sqlite(url) if url.get_backend_name() == "sqlite" else create_engine(url)
    except (ImportError, ArgumentError) as err:
        raise RunError(f"cannot use {shown} as a run store: {err}") from err
    try:
        _bring_up_to_date(engine)
    except DBAPIError as err:
        engine.dispose()
        raise RunError(f"cannot open the run store {shown}: {' '.join(str(err.orig).split())}") from err
    except RunError:
        engine.dispose()
        raise
    return engine


def writer(engine: Engine) -> Engine:
    """The same engine for transactions that write: on SQLite they take the write lock when they begin.

    A transaction that reads first and asks for the lock later fails at once when another one has written between.
    """
    return engine.execution_options(actsearch_writes=True)


def _url(where: str | Path) -> URL:
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


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    # The write lock is held from the check to the end: of two processes that open a new store one waits.
    with writer(engine).begin() as connection:
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
