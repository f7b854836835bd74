"""A PostgreSQL server of the tests: Debian's own programs on a temporary folder, gone with the process that started it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from actsearch.orphans import die_with_parent

PASSWORD = "a p@ss/word"
_NUMBERS = count(1)


def program(name: str) -> Path | None:
    """A program of the server's: on PATH, else where Debian puts it, newest first."""
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return found[-1] if found else None


@dataclass(frozen=True)
class Server:
    """A running server; `actsearch` is its superuser, without a password, `guarded` a role with PASSWORD."""

    folder: Path

    def url(self, database: str, user: str = "actsearch") -> URL:
        """Of a database, without a password."""
        return URL.create("postgresql+psycopg", user, database=database, query={"host": str(self.folder)})

    def execute(self, statement: str) -> None:
        """Runs a statement that stands in no transaction."""
        with psycopg.connect(f"host={self.folder} user=actsearch dbname=postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def new_database(self, template: str = "template1") -> URL:
        """A database like the template: an empty one without."""
        name = f"test{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@contextmanager
def running(initdb: Path, postgres: Path) -> Iterator[Server]:
    """A new server on a Unix socket in a temporary folder; nothing of it reaches the disk on purpose."""
    folder = Path(tempfile.mkdtemp(prefix="actsearch-pg-", dir="/tmp"))
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    server = None
    try:
        data = folder / "data"
        command = [
            str(initdb),
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
            "--auth=trust",
            "--username=actsearch",
            "-D",
        ]
        subprocess.run([*command, str(data)], user=user, cwd="/", check=True, capture_output=True)
        rules = "local all guarded scram-sha-256\nlocal all all trust\n"
        (data / "pg_hba.conf").write_text(rules)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        parent = os.getpid()
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", data, *options],
                user=user,
                cwd="/",
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(parent, signal.SIGQUIT),
            )
        made = Server(folder)
        _wait(made, server)
        made.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
        yield made
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(made: Server, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            made.execute("SELECT 1")
        except psycopg.OperationalError:
            log = (made.folder / "log").read_text()
            assert server.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.02)
        else:
            return
