"""The workers that a search starts on its own machine: processes that die with it, and are replaced when they die."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from actsearch.errors import RunPausedError
from actsearch_workers.environment import PROCESS_ENVIRONMENT
from actsearch_workers.processes import last_line, start, stop

EARLY_SECONDS = 60.0
"""A worker that dies within this time of its start has a cause that the next one will meet too."""
MAX_EARLY_DEATHS = 5
"""Early deaths in a row after which the run pauses."""
FIRST_PAUSE_SECONDS = 0.5
"""Pause before a dead worker's place is filled; doubled for each early death in a row."""
STOP_SECONDS = 10.0
"""How long workers may take to finish the children at hand when the search stops."""
CALLERS_MISTAKE = 2
"""Exit code of a worker whose command line was wrong: starting it again cannot help."""


@dataclass
class _Place:
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    early_deaths: int = 0


class LocalWorkers:
    """Worker processes of one search, as a context manager.

    Args:
        commands: one command line a worker; they may differ in their device. Never with a password in it.
        logs: folder of `worker-1.log`, `worker-2.log`, …; made if need be.
        environment: variables for the workers on top of this process's own, such as a server's URL with a password.
    """

    def __init__(
        self, commands: Sequence[Sequence[str]], logs: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._logs = logs
        self._environment = {**PROCESS_ENVIRONMENT, **(environment or {})}
        self._places = [_Place(command, logs / f"worker-{k}.log") for k, command in enumerate(commands, start=1)]
        self.restarts = 0
        """How often a dead worker's place was filled."""

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for place in self._places:
                self._start(place)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that were last seen alive."""
        return [place.process.pid for place in self._places if place.process is not None]

    def check(self) -> None:
        """Fill the places of workers that have died; call it every few seconds, from the main thread.

        Raises:
            RunPausedError: a worker's place cannot be kept filled; with the last line of its log.
        """
        now = time.monotonic()
        for place in self._places:
            if place.process is not None and place.process.poll() is not None:
                self._bury(place, place.process, now)
            if place.process is None and now >= place.restart_at:
                self._start(place)
                self.restarts += 1

    def stop(self) -> None:
        """SIGTERM, by which a worker finishes the child at hand, and SIGKILL when the grace is over."""
        stop([place.process for place in self._places if place.process is not None], STOP_SECONDS)
        for place in self._places:
            place.process = None

    def _start(self, place: _Place) -> None:
        place.process = start(place.command, log=place.log, death_signal=signal.SIGKILL, environment=self._environment)
        place.started = time.monotonic()

    def _bury(self, place: _Place, process: subprocess.Popen[bytes], now: float) -> None:
        place.process = None
        place.early_deaths = place.early_deaths + 1 if now - place.started < EARLY_SECONDS else 0
        if process.returncode == CALLERS_MISTAKE:
            raise RunPausedError(f"a worker refuses to start: {last_line(place.log)} (log: {place.log})")
        if place.early_deaths >= MAX_EARLY_DEATHS:
            raise RunPausedError(
                f"a worker died {place.early_deaths} times within {EARLY_SECONDS:g} s of its start: "
                f"{last_line(place.log)} (log: {place.log})"
            )
        place.restart_at = now + FIRST_PAUSE_SECONDS * 2**place.early_deaths
