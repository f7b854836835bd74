"""The worker process: takes jobs from the queue and trains each in a fork of its own.

It has imported torch and timm before it forks (anew they cost 4 s a job) and has run no tensor operation and
touched no GPU, which a fork would not survive. A child's memory, GPU memory too, is given back with its process.
"""

import logging
import os
import re
import secrets
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
import rq
import rq.job
from rq import worker_registration
from rq.executions import Execution
from rq.logutils import setup_loghandlers
from rq.timeouts import JobTimeoutException

from actsearch.errors import CallerError, ConfigError
from actsearch_workers.connection import GIVE_UP_SECONDS, Address, connect
from actsearch_workers.environment import PROCESS_ENVIRONMENT, choose_device, hold_gpu
from actsearch_workers.jobs import (
    FINISHED_JOB_SECONDS,
    QUEUE,
    SERIALIZER,
    WORKER,
    AllowedJob,
    WorkerSettings,
    lease_key,
)
from actsearch_workers.processes import die_with_parent, keep_freed_memory

LEASE_SECONDS = 8
"""How long a job counts as held after its worker's last word."""
HEARTBEAT_SECONDS = 2
"""How often a worker says that it holds its job."""
IDLE_HEARTBEAT_SECONDS = 5
"""How often an idle worker says that it is there."""
ALIVE_SECONDS = 15
"""How long a worker counts as there after its last word."""

log = logging.getLogger("rq.worker")


class SearchWorker(rq.Worker):
    """RQ's forking worker with leases of seconds, and horses that die with it.

    RQ notices a lost worker after minutes, by clocks of several machines. Ours holds a key with a time to live for
    the job it runs, which the server's clock alone decides; the controller takes a job back whose key is gone.
    """

    max_connection_wait_time = 5.0
    log_result_lifespan = False

    def __init__(self, connection: redis.Redis, settings: WorkerSettings) -> None:
        super().__init__(
            [QUEUE],
            name=settings.name,
            connection=connection,
            serializer=SERIALIZER,
            job_class=AllowedJob,
            default_result_ttl=FINISHED_JOB_SECONDS,
            worker_ttl=15 + IDLE_HEARTBEAT_SECONDS,  # RQ waits for a job until 15 s before it
            job_monitoring_interval=HEARTBEAT_SECONDS,
            maintenance_interval=60,
            exception_handlers=[_report_exception],
            work_horse_killed_handler=_report_killed_horse,
            log_job_description=False,
        )
        self._settings = settings

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        super().heartbeat(ALIVE_SECONDS, pipeline=pipeline)
        # A worker or a server that was away for longer has lost the entry; RQ would write it only once.
        target: Any = self.connection if pipeline is None else pipeline
        target.hset(self.key, mapping=self.serialize())
        worker_registration.register(self, target)
        if not self.is_horse:
            hold_gpu(self._settings.device, self.name, self.connection)

    def prepare_execution(self, job: rq.job.Job) -> Execution:
        self._hold(job)
        self.connection.hset(self.key, "doing", job.description or "")
        return super().prepare_execution(job)

    def maintain_heartbeats(self, job: rq.job.Job, execution: Execution) -> None:
        try:
            self._hold(job)
            super().maintain_heartbeats(job, execution)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as err:
            # The training goes on; if the server is back before it ends, nothing is lost.
            log.warning("Worker %s: no heartbeat, the server does not answer: %s", self.name, err)

    def main_work_horse(self, job: rq.job.Job, queue: rq.Queue) -> None:
        assert self.pid is not None, "set when the worker was made"
        die_with_parent(self.pid, signal.SIGKILL)
        super().main_work_horse(job, queue)

    def _hold(self, job: rq.job.Job) -> None:
        self.connection.set(lease_key(job.id), self.name, ex=LEASE_SECONDS)


def _report_exception(
    job: rq.job.Job, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Runs in the horse, when the job's function raised."""
    assert isinstance(job, AllowedJob)
    if isinstance(error, CallerError):
        job.notice(str(error), hopeless=True)
    elif isinstance(error, JobTimeoutException):
        job.notice(f"took longer than {job.timeout:g} s")
    else:
        job.notice(f"{kind.__name__}: {error}")


def _report_killed_horse(job: rq.job.Job, pid: int | None, status: int | None, usage: Any) -> None:
    """Runs in the worker, when a horse ended without a word of its own."""
    assert isinstance(job, AllowedJob)
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        job.notice(f"the training process was killed by {signal.Signals(number).name}{hint}")
    else:
        job.notice("the training process ended without a result")


def serve(
    address: Address,
    *,
    data_dir: Path,
    device: str = "auto",
    name: str | None = None,
    allow_user_code: bool = False,
    burst: bool = False,
    wait_seconds: float = GIVE_UP_SECONDS,
) -> None:
    """Be a worker, until SIGTERM or SIGINT: the first waits for the job at hand, a second does not.

    Args:
        address: the server whose runs it serves.
        data_dir: where data sets are.
        device: `auto`, `cpu` or `cuda:N`.
        name: what the worker is called, unique on its server; made up if None.
        allow_user_code: whether jobs may import the user's `module:function`.
        burst: end when the queue is empty.
        wait_seconds: how long to wait for the server.

    Raises:
        ServerUnreachableError: no server in that time.
        ConfigError: no such device, or a name that cannot be or is in use.
    """
    name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise ConfigError(f"--name = {name[:110]!r}: up to 100 letters, digits, dots, dashes and underscores")
    connection = connect(address, timeout_seconds=wait_seconds)
    os.environ.update(PROCESS_ENVIRONMENT)
    keep_freed_memory()
    _import_for_jobs()
    settings = WorkerSettings(
        name=name,
        device=choose_device(device, name, connection),
        data_dir=data_dir,
        allow_user_code=allow_user_code,
    )
    WORKER.set(settings)
    setup_loghandlers("INFO", name=log.name)
    log.info("Worker %s: device %s, data in %s", name, settings.device, data_dir)
    worker = SearchWorker(connection, settings)
    if connection.exists(worker.key) and not connection.hexists(worker.key, "death"):
        raise ConfigError(f"--name = '{name}': a worker of that name is at work; choose another")
    worker.work(burst=burst)


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
