"""Who drives a run in a store that several machines share: a lock in the database, one a run.

It is PostgreSQL's advisory lock of a session: the server drops it when that session ends, however the process, its
machine or the network between ended. On SQLite the lock is a file in the run's folder (actsearch.runs).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, text

from actsearch.errors import ActsearchError, RunError

_CLASS = 0x61637473
"""First half of the key, "acts": other programs' advisory locks in the same database are not ours."""

_TAKE = text("SELECT pg_try_advisory_lock(:class, :run)")
_FREE = text("SELECT pg_advisory_unlock(:class, :run)")
_HOLDER = text(
    "SELECT a.application_name FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :class AND l.objid = :run "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@contextmanager
def sole_driver(engine: Engine, run: str, run_id: int) -> Iterator[None]:
    """Holds the lock of a run on a connection of its own; RunError, naming the holder, where it is taken."""
    key = {"class": _CLASS, "run": run_id}
    # Autocommit: a transaction that idles for days would keep the server from cleaning up.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(_TAKE, key):
            raise RunError(f"run {run!r} is being driven by {_holder(engine, key) or 'another process'}; stop it first")
        try:
            yield
        finally:
            with suppress(ActsearchError):  # with the server gone the lock is gone too
                connection.execute(_FREE, key)


def driver(engine: Engine, run_id: int) -> str | None:
    """Who holds a run's lock, as `actsearch HOST PID`; None where nobody does."""
    return _holder(engine, {"class": _CLASS, "run": run_id})


def _holder(engine: Engine, key: dict[str, int]) -> str | None:
    with engine.connect() as connection:
        found = connection.execute(_HOLDER, key).first()
    # Empty where something between us and the server gives sessions no name.
    return None if found is None else found[0] or "a process without a name"
