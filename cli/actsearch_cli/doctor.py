"""`actsearch doctor`: what is wrong with this machine, or with a server and its workers."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from actsearch_cli.options import RUNS_DIR, Json, RedisPasswordFile, RedisUrl, RunsDir, data_dir

if TYPE_CHECKING:
    from actsearch_workers.doctor import Finding

NAME = "doctor"


def command(
    redis_url: RedisUrl = None,
    redis_password_file: RedisPasswordFile = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: Json = False,
) -> None:
    """Check this machine: libraries, forks, GPUs, room, server program, data. With a server: that and its workers.

    A line for each thing looked at; where it is wrong the line says what to do. Exits 1 when something is wrong.
    """
    found = findings(redis_url, redis_password_file, runs_dir)
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
