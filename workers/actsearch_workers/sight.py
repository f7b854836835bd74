"""What can be seen of the queue behind a run, and why nothing moves there. Light to import: `status` reads it."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from actsearch.config import Settings
from actsearch_workers.texts import Line

OLD_SECONDS = 15.0
"""Age from which a look at the queue says that whoever drives the run does not look any more."""
PROBE_SECONDS = 0.5
MAX_ENTRIES = 100
"""Runs for which a worker says why it idles, and parts of which it says the version; ours say fewer."""


class WorkerState(Settings):
    """A living worker, and the evaluation and run that it is busy with (None: idle), as the server has it: whoever has
    the password may have written that.
    """

    name: Line
    evaluation: Line | None = None
    run: Line | None = None
    suspended: bool = False
    environment: Line = ""
    """Its machine's fingerprint and parts, without data."""
    versions: Mapping[Line, Line] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    idles: Mapping[Line, Line] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    """By run, why it does not serve that one."""


class QueueStatus(Settings):
    """What goes on behind a run."""

    run: str = ""
    """The run's id on the queue."""
    workers: tuple[WorkerState, ...] = ()
    """All workers of the server, by name."""
    queued: int = 0
    """Jobs of the run's environment that wait for a worker, of all runs bound to it."""
    retries: int = 0
    """Attempts of this run's jobs that came to nothing and were tried again: failed, lost or handed back."""
    environment: str | None = None
    """What the run is bound to; None until a worker has bound it."""
    silent: int = 0
    """Jobs of the run whose worker has said nothing for longer than it should, and whose lease runs out."""
    away_seconds: float = 0.0
    """How long the server has not answered: all else is what was last seen."""
    missing: int = 0
    """Jobs of the run that nobody has, and that go out again within seconds."""

    @property
    def fitting(self) -> list[WorkerState]:
        """The workers that may serve the run."""
        return [worker for worker in self.workers if self.run not in worker.idles and "" not in worker.idles]

    @property
    def busy(self) -> int:
        """How many workers are busy with the run."""
        return sum(worker.run == self.run for worker in self.workers)


class Sighting(Settings):
    """What the process that drives a run last saw of its queue: a file by which `status` needs no server."""

    at: float
    """Seconds since 1970 by this machine's clock."""
    address: str
    """The server's URL, without a password."""
    in_flight: int
    """Evaluations that the run waits for."""
    in_flight_at_most: int | None
    """Jobs that it ever has in flight; None: all that are left."""
    queue: QueueStatus

    def write(self, file: Path) -> None:
        """Replaces the file; a reader finds the one before or this one, whole."""
        new = file.with_suffix(".new")
        new.write_text(self.model_dump_json(), encoding="utf-8")
        new.replace(file)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """What stands in the file; None where there is none, or none of this version."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None

    @property
    def age_seconds(self) -> float:
        return max(0.0, time.time() - self.at)

    def why_nothing_moves(self) -> list[str]:
        """Why nothing of the run moves, a line a reason: of its server, of whoever drives it, of its workers."""
        if not self.in_flight:
            return []
        if not answers(self.address):
            return [f"the server {self.address} is down: the run goes on when it is back"]
        if self.age_seconds > OLD_SECONDS:
            age = f"{self.age_seconds:.0f} s"
            return [f"its controller has not looked at the queue for {age}: it stands still, or waits for the server"]
        return standstill(self.queue, self.in_flight)

    def warnings(self) -> list[str]:
        """What is not as it could be, a line each."""
        fitting, most = len(self.queue.fitting), self.in_flight_at_most
        if most is not None and fitting > most:
            return [f"{fitting} workers for at most {most} jobs in flight (lag x batch): {fitting - most} idle always"]
        return []


def answers(address: str) -> bool:
    """Whether anybody listens at a server's URL; a look without a password, of at most half a second."""
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PROBE_SECONDS)
                probe.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "localhost", parts.port or 6379), PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def standstill(status: QueueStatus, in_flight: int) -> list[str]:
    """Why nothing of a run moves, a line a reason; none where something moves, or nothing is to be done.

    Args:
        status: what was seen.
        in_flight: evaluations that the run waits for.
    """
    if not in_flight:
        return []
    if status.away_seconds:
        return [f"the server has not answered for {status.away_seconds:.0f} s: the run goes on when it does"]
    reasons = []
    if status.silent:
        leases = "lease runs" if status.silent == 1 else "leases run"
        reasons.append(f"waiting until {status.silent} {leases} out: the worker says nothing any more")
    if status.missing:
        reasons.append(f"{status.missing} lost with their worker: they go out again within seconds")
    if status.busy > status.silent + status.missing:
        return []
    return reasons or _nobody(status)


def why_none_fits(status: QueueStatus) -> str:
    """What keeps each worker from a run, in one line; empty where one fits, or there is none."""
    if status.fitting or not status.workers:
        return ""
    reasons = "; ".join(f"{w.name}: {w.idles.get(status.run) or w.idles['']}" for w in status.workers)
    return (
        f"no worker fits the run ({reasons[:1000]}); --environment first gives a bound one to the next kind of worker"
    )


def _nobody(status: QueueStatus) -> list[str]:
    """Why no worker is busy with a run."""
    fitting = status.fitting
    if not status.workers:
        return ["no worker serves this server: start some with `actsearch worker`"]
    if reason := why_none_fits(status):
        return [reason]
    if all(worker.suspended for worker in fitting):
        return ["all workers that fit are suspended: `rq resume` lets them go on"]
    busy = sorted({worker.run for worker in fitting if worker.run is not None})
    if busy and all(worker.run is not None or worker.suspended for worker in fitting):
        return [f"all workers that fit are busy with {', '.join(busy)}"]
    if status.environment is None:
        return ["no worker has taken the run yet: those that are here look for new runs every few seconds"]
    return []
