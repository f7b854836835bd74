"""A cluster on one machine: a server, a controller and workers as processes of their own, each replaced when it dies.

It is the supervisor that a search of days would have (systemd, Compose, Kubernetes), and the hand that hurts it.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from threading import Event, Thread
from types import TracebackType
from typing import Self

import redis

from actsearch.runs import RunFolder
from actsearch_workers.connection import Address, connect
from actsearch_workers.environment import PROCESS_ENVIRONMENT
from actsearch_workers.processes import start, stop
from actsearch_workers.server import find_program
from actsearch_workers.sight import Sighting
from tests.integration.conftest import command, eventually
from tests.integration.course import RUN, told, trainings

LOOK_SECONDS = 0.1
RESTART_SECONDS = 0.5
"""Pause before a dead process is replaced."""
PASSWORD = "chaos"


@dataclass
class Place:
    """What is kept running.

    Attributes:
        command: its command line.
        environment: variables on top of this process's own.
        process: the one that runs now, or ran last.
        starts: how often it was started.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: Popen[bytes] | None = None
    starts: int = 0
    dead_since: float = 0.0

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None


class Cluster:
    """Started and supervised as a context manager; over when the controller has ended by itself.

    Args:
        folder: everything is in it: configuration, run, server's files, logs.
        config: settings of the search, TOML.
        workers: their number.
        runs_dir: where the run's folder goes, if not into `folder`.
        server_dir: where the server's files go, likewise.
        bind: address that the server listens on.
        wrap: command that a place's command is run by, by place: `server`, `controller`, `worker-1`, ….
        environment: variables of a place, likewise.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        workers: int,
        runs_dir: Path | None = None,
        server_dir: Path | None = None,
        bind: str = "127.0.0.1",
        wrap: Mapping[str, Sequence[str]] | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.runs_dir = runs_dir or folder / "runs"
        self.folder = folder
        self._bind, self._port = bind, _free_port(bind)
        (folder / "config.toml").write_text(config)
        (folder / "password").write_text(PASSWORD)
        server_dir = server_dir or folder / "server"
        server_dir.mkdir(exist_ok=True)
        (folder / "server.conf").write_text(self._server_settings(server_dir))
        client = ["--redis-url", f"redis://{bind}:{self._port}/0", "--redis-password-file", str(folder / "password")]
        commands = {
            "server": [str(find_program()), str(folder / "server.conf")],
            "controller": command(
                *("controller", str(folder / "config.toml"), "--run", RUN, "--or-resume"),
                *("--runs-dir", str(self.runs_dir), *client),
            ),
            **{f"worker-{k}": command("worker", *client, "--name", f"worker-{k}-PID") for k in range(1, workers + 1)},
        }
        self.places = {
            name: Place([*(wrap or {}).get(name, ()), *words], (environment or {}).get(name, {}))
            for name, words in commands.items()
        }
        self.is_done, self._is_over = Event(), Event()
        self._supervisor = Thread(target=self._supervise)

    def __enter__(self) -> Self:
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._supervisor.join()

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [place.pid for name, place in self.places.items() if name.startswith("worker") and place.pid is not None]

    @property
    def trainings(self) -> list[int]:
        """Process ids of the children in training."""
        return trainings(self.workers)

    @property
    def told(self) -> int:
        """Results in the store."""
        return told(self.runs_dir)

    @property
    def tried_again(self) -> int:
        """Attempts that came to nothing and were tried again, as the controller last saw it."""
        sighting = Sighting.read(RunFolder(self.runs_dir / RUN).queue)
        assert sighting is not None, "a controller is or was at work"
        return sighting.queue.retries

    def log(self, place: str) -> Path:
        """What a place's processes have printed."""
        return self.folder / f"{place}.log"

    def client(self) -> redis.Redis:
        """A client of the server, once it answers."""
        return connect(Address(f"redis://:{PASSWORD}@{self._bind}:{self._port}/0"), timeout_seconds=60)

    def wait_for(self, told: int) -> None:
        """Until so many results are in the store."""
        eventually(lambda: self.is_done.is_set() or self.told >= told)
        assert self.told >= told, "it ended early"

    def wait(self, seconds: float) -> None:
        """Until the search has ended."""
        assert self.is_done.wait(seconds), f"not done in {seconds:g} s: {self._last_words()}"

    def _supervise(self) -> None:
        # The processes die with the thread that started them: this one starts them all.
        while not self._is_over.wait(LOOK_SECONDS):
            for name, place in self.places.items():
                self._look_after(name, place)
        stop([p.process for p in self.places.values() if p.process is not None and p.process.poll() is None], 10)

    def _look_after(self, name: str, place: Place) -> None:
        if place.pid is not None or (name == "controller" and self.is_done.is_set()):
            return
        if place.process is not None:
            if name == "controller" and place.process.returncode == 0:
                self.is_done.set()
                return
            place.dead_since = place.dead_since or time.monotonic()
            if time.monotonic() - place.dead_since < RESTART_SECONDS:
                return
        place.starts += 1
        place.dead_since = 0.0
        place.process = start(
            [word.replace("PID", str(place.starts)) for word in place.command],
            log=self.log(name),
            death_signal=signal.SIGKILL,
            environment={**PROCESS_ENVIRONMENT, **place.environment},
        )

    def _server_settings(self, folder: Path) -> str:
        settings = {
            "bind": self._bind,
            "port": self._port,
            "requirepass": PASSWORD,
            "dir": folder,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{key} {value}\n" for key, value in settings.items())

    def _last_words(self) -> str:
        return "; ".join(
            f"{name}: {self.log(name).read_text()[-300:]}" for name in self.places if self.log(name).exists()
        )


def fill(path: Path) -> None:
    """Writes a file until its disk is full. Without a buffer, which would be written again when it is closed."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def hurt(pids: Sequence[int], number: signal.Signals) -> None:
    """Sends a signal to processes, those that are gone left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(pids: Callable[[], Sequence[int]], seconds: float) -> None:
    """Stops processes for a time by SIGSTOP."""
    stopped = pids()
    hurt(stopped, signal.SIGSTOP)
    time.sleep(seconds)
    hurt(stopped, signal.SIGCONT)


def _free_port(bind: str) -> int:
    with socket.socket() as one:
        one.bind((bind, 0))
        port: int = one.getsockname()[1]
        return port
