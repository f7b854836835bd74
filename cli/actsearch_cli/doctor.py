"""`actsearch doctor`: what is wrong with this machine, or with a server and its workers."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from actsearch_cli.options import RUNS_DIR, Json, RedisPasswordFile, RedisUrl, RunsDir, Store, data_dir, shared_store

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from actsearch_workers.doctor import Finding

NAME = "doctor"


def command(
    redis_url: RedisUrl = None,
    redis_password_file: RedisPasswordFile = None,
    runs_dir: RunsDir = RUNS_DIR,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Check this machine: libraries, forks, GPUs, room, server program, data. With a server: that and its workers.

    With --store: whether that database lets us in.

    A line for each thing looked at; where it is wrong the line says what to do. Exits 1 when something is wrong.
    """
    database = shared_store(store)
    found = findings(redis_url, redis_password_file, runs_dir)
    found += [] if database is None else [_store(database)]
    if as_json:
        print(json.dumps([finding.model_dump() for finding in found], indent=2, ensure_ascii=False))
    else:
        for finding in found:
            print(finding)
    raise typer.Exit(int(any(finding.is_wrong for finding in found)))


def findings(redis_url: str | None, redis_password_file: Path | None, runs_dir: Path) -> "list[Finding]":
    """All of them; a server that does not answer is one."""
    from actsearch.errors import ServerUnreachableError
    from actsearch_workers import doctor
    from actsearch_workers.connection import connect, find_address

    address = find_address(redis_url, redis_password_file, os.environ)
    found = list(doctor.machine(data_dir(), runs_dir))
    if address is not None:
        try:
            found += doctor.server(connect(address, timeout_seconds=3))
        except ServerUnreachableError as err:
            found.append(doctor.wrong("server", str(err), "start it, or give another --redis-url"))
    return found


def _store(database: "URL") -> "Finding":
    """Whether a shared database opens, and how many runs it has."""
    from actsearch.errors import RunError, StoreMissingError
    from actsearch.store import Store as RunStore
    from actsearch.store.address import shown
    from actsearch_workers import doctor

    try:
        with RunStore.open(database, create=False) as store:
            found = f"runs: {len(store.runs())}"
    except StoreMissingError:
        found = "empty: the first search makes its tables"
    except RunError as err:
        return doctor.wrong("store", str(err), "server, database and role must be there (docs/shared-store.md)")
    return doctor.Finding(name="store", found=f"{shown(database)}, {found}")
