"""Real servers and real worker processes."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from actsearch_workers.connection import connect
from actsearch_workers.pool import LocalWorkers
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from actsearch_workers.worker import LEASE_SECONDS

WorkerStarter = Callable[..., LocalWorkers]
T = TypeVar("T")

PATIENCE_SECONDS = 600
"""How long a condition is waited for: processes start in a second or two, and in minutes where others want the cores."""


def eventually(look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """The first true answer of `look`; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return answer


def until_bound(evaluator: RqEvaluator) -> None:
    """Waits until a worker has bound the run: then its jobs are in the queue, also while nobody collects."""

    def is_bound() -> bool:
        evaluator.collect(0)
        return evaluator.status().environment is not None

    eventually(is_bound)


def command(*arguments: str) -> list[str]:
    """The command line `actsearch …`."""
    return [sys.executable, "-m", "actsearch_cli.main", *arguments]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def connection(server: LocalServer) -> Iterator[redis.Redis]:
    client = connect(server.address)
    assert client.dbsize() == 0, "a test wants a server of its own"
    yield client
    client.close()


def fake_workers(
    server: LocalServer,
    logs: Path,
    *names: str,
    lease_seconds: int = LEASE_SECONDS,
    torch: bool = False,
    more: Sequence[str] = (),
) -> LocalWorkers:
    """Worker processes with the fake training; a context manager. `more`: grace in seconds, digest of all data."""
    python_path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [server.address.url, str(lease_seconds), "torch" if torch else "none"]
    command = [sys.executable, "-m", "tests.integration.fake_worker", *arguments]
    return LocalWorkers([[*command, name, *more] for name in names], logs, {"PYTHONPATH": python_path})


@pytest.fixture
def start_workers(server: LocalServer, tmp_path: Path) -> Iterator[WorkerStarter]:
    """Start worker processes with the fake training, by name; they stop with the test."""
    with ExitStack() as running:

        def start(*names: str, **settings: Any) -> LocalWorkers:
            return running.enter_context(fake_workers(server, tmp_path / "logs", *names, **settings))

        yield start
