"""A worker's life: it finds out what its machine is, serves the runs that fit, and ends when it is told to."""

import logging
import os
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import redis

from actsearch.errors import ActsearchError, ConfigError
from actsearch_workers import logs
from actsearch_workers.connection import GIVE_UP_SECONDS, Address, connect
from actsearch_workers.devices import choose_device
from actsearch_workers.digests import Digests
from actsearch_workers.environment import PROCESS_ENVIRONMENT, Environment, environment
from actsearch_workers.forks import in_fork
from actsearch_workers.jobs import WorkerSettings
from actsearch_workers.matching import Matcher
from actsearch_workers.processes import keep_freed_memory
from actsearch_workers.worker import GRACE_SECONDS, SearchWorker

log = logging.getLogger("actsearch.worker")


def serve(
    address: Address,
    *,
    data_dir: Path,
    device: str = "auto",
    name: str | None = None,
    data_roots: Sequence[Path] = (),
    allow_user_code: bool = False,
    burst: bool = False,
    wait_seconds: float = GIVE_UP_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    log_format: str = "text",
) -> None:
    """Be a worker, until SIGTERM or SIGINT.

    The first signal waits for the job at hand, but no longer than the grace, and then hands it back; a second one
    ends it at once.

    Args:
        address: the server whose runs it serves.
        data_dir: where data sets are.
        data_roots: folders, beside that, which jobs may name as data sets, or folders below them.
        device: `auto`, `cpu` or `cuda:N`.
        name: what the worker is called, unique on its server; made up if None.
        allow_user_code: whether jobs may import the user's `module:function`.
        burst: end when the queue is empty.
        wait_seconds: how long to wait for the server.
        grace_seconds: how long the job at hand may take once the worker was told to end.
        log_format: `text` or `json`.

    Raises:
        ServerUnreachableError: no server in that time.
        ConfigError: no such device, or a name that cannot be or is in use.
        ActsearchError: it ended though nobody had told it to: whoever started it may start it again.
    """
    name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise ConfigError(f"--name = {name[:110]!r}: up to 100 letters, digits, dots, dashes and underscores")
    logs.set_up(log_format, {"worker": name})
    connection = connect(address, timeout_seconds=wait_seconds)
    os.environ.update(PROCESS_ENVIRONMENT)
    keep_freed_memory()
    _import_for_jobs()
    settings = WorkerSettings(
        name=name,
        device=choose_device(device, name, connection),
        data_dir=data_dir,
        data_roots=tuple(data_roots),
        allow_user_code=allow_user_code,
    )
    machine = Environment.model_validate_json(in_fork(lambda: environment(settings.device).model_dump_json()))
    digests = Digests(settings)
    settings = replace(settings, machine=machine, digests=digests.known)
    log.info("Worker %s: device %s, data in %s, environment %s", name, settings.device, data_dir, machine)
    worker = SearchWorker(connection, settings, Matcher(machine, digests, allow_user_code), grace_seconds)
    digests.meanwhile = worker.heartbeat
    if connection.exists(worker.key) and not connection.hexists(worker.key, "death"):
        raise ConfigError(f"--name = '{name}': a worker of that name is at work; choose another")
    try:
        worker.work(burst=burst)
    except redis.exceptions.RedisError as err:
        raise ActsearchError(f"worker {name} cannot register with the server: {err}") from err
    if not burst and not worker.is_told_to_end:
        raise ActsearchError(f"worker {name} ended on an error that is in the log above")


def _import_for_jobs() -> None:
    import sympy  # noqa: F401
    import timm  # noqa: F401
    import torch

    import actsearch_workers.training  # noqa: F401
    from actsearch.reader import read

    # At their first sum and values sympy and numpy import more, which every fork would do anew.
    read("x + sin(x)").values(0.0)
    # A setting, not an operation: whatever was imported before the variables above were set.
    torch.set_num_threads(1)
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    assert not in_use, "a process that has used a GPU cannot fork workers"
