"""The worker process: takes jobs from the queue and trains each in a fork of its own.

It has imported torch and timm before it forks (anew they cost 4 s a job) and has run no tensor operation and
touched no GPU, which a fork would not survive. A child's memory, GPU memory too, is given back with its process.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Any, cast

import redis
import rq
import rq.job
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import worker_registration
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.suspension import is_suspended
from rq.timeouts import HorseMonitorTimeoutException, JobTimeoutException
from rq.utils import now
from rq.worker import WorkerStatus

from actsearch.errors import CallerError
from actsearch.orphans import die_with_parent
from actsearch.runs import versions
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.devices import hold_gpu
from actsearch_workers.jobs import (
    FINISHED_JOB_SECONDS,
    QUEUE,
    SERIALIZER,
    WORKER,
    WorkerSettings,
    lease_key,
)
from actsearch_workers.logs import current as log_ids
from actsearch_workers.look import FIELD
from actsearch_workers.matching import Matcher
from actsearch_workers.processes import Shared, out_of_memory_kills
from actsearch_workers.texts import one_line

LEASE_SECONDS = 8
"""How long a job counts as held after its worker's last word."""
HEARTBEAT_SECONDS = 2
"""How often a worker says that it holds its job."""
ALIVE_SECONDS = 15
"""How long a worker counts as there after its last word."""

LOOK_SECONDS = 2
"""How often an idle worker looks for new runs."""
BURST_SECONDS = 0.01
"""How long a burst worker waits for a job."""
AWAY_SECONDS = 1.0
"""How long an idle worker waits before it asks a server again that is away or refuses."""
TIDY_SECONDS = 60
"""How often what has ended is removed from RQ's lists, by one of a queue's workers."""
GRACE_SECONDS = 25.0
"""How long the job at hand may take once the worker was told to end: Kubernetes gives 30 s in all."""
BEFORE_FIRST_STEP = -1
MAX_IDLES = 50
"""Runs of which a worker says why it idles for them."""

log = logging.getLogger("actsearch.worker")


class SearchWorker(rq.Worker):
    """RQ's forking worker with leases of seconds, and horses that die with it.

    RQ notices a lost worker after minutes, by clocks of several machines. Ours holds a key with a time to live for
    the job it runs, which the server's clock alone decides; the controller takes a job back whose key is gone.
    RQ's own loops and its maintenance go by the wall clock of each machine, and are replaced where that matters.
    RQ ends where the server refuses a command, as when its memory or disk is full; this one waits.

    Args:
        connection: the server.
        settings: what it brings to every job.
        matcher: which queues it serves.
        grace_seconds: how long a job at hand may take once the worker was told to end; then it is handed back.
    """

    log_result_lifespan = False

    def __init__(
        self,
        connection: redis.Redis,
        settings: WorkerSettings,
        matcher: Matcher,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        super().__init__(
            [QUEUE],
            name=settings.name,
            connection=connection,
            serializer=SERIALIZER,
            job_class=AllowedJob,
            default_result_ttl=FINISHED_JOB_SECONDS,
            worker_ttl=ALIVE_SECONDS,
            job_monitoring_interval=HEARTBEAT_SECONDS,
            exception_handlers=[self._report_exception],
            work_horse_killed_handler=self._report_killed_horse,
            log_job_description=False,
        )
        self._settings = replace(settings, on_step=self._note_step)
        self._matcher = matcher
        self._grace_seconds = grace_seconds
        self._told_to_end_at: float | None = None
        self._versions = versions()
        self._step = Shared(BEFORE_FIRST_STEP)
        self._kills_before = 0
        self._job: rq.job.Job | None = None
        self._job_began = 0.0

    @property
    def is_told_to_end(self) -> bool:
        """Whether a signal has come."""
        return self._told_to_end_at is not None

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that the worker is there: in a pipeline, or now, as far as the server hears it."""
        if pipeline is None:
            with self._whatever_the_server_does("no heartbeat"):
                self._say_alive(self.connection)
        else:
            self._say_alive(pipeline)

    def _say_alive(self, target: Any) -> None:
        super().heartbeat(ALIVE_SECONDS, pipeline=target)
        # A worker or a server that was away for longer has lost the entry; RQ would write it only once.
        target.hset(self.key, mapping={**self.serialize(), FIELD: self._said()})
        worker_registration.register(self, target)
        if not self.is_horse:
            hold_gpu(self._settings.device, self.name, self.connection)

    def subscribe(self) -> None:
        """Nothing: RQ's commands would have whoever knows the password end workers and kill trainings."""

    def check_for_suspension(self, burst: bool) -> None:
        """Nothing: RQ waits there without a heartbeat, and only between two jobs; see below."""

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Never: RQ would declare jobs abandoned, by this machine's clock, that others are running; see `_tidy`."""
        return False

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[rq.job.Job, rq.Queue] | None:
        """The next job of the queues that the worker serves by then; None when a burst has emptied them, or to end."""
        for name in ("run", "evaluation"):
            log_ids.pop(name, None)
        is_burst = timeout is None
        while not self._stop_requested:
            self._state = WorkerStatus.IDLE
            try:
                if is_suspended(self.connection, self):  # says that it is there, too
                    self.set_state(WorkerStatus.SUSPENDED)
                    if is_burst:
                        return None
                    time.sleep(1)
                    continue
                self._serve(self._matcher.look(self.connection))
                self._tidy()
                self.set_state(WorkerStatus.IDLE)
                found = self._take(BURST_SECONDS if is_burst else LOOK_SECONDS)
            except redis.exceptions.RedisError as err:
                log.warning("Worker %s: the server fails: %s", self.name, err)
                time.sleep(AWAY_SECONDS)
                continue
            if found is not None or is_burst:
                return found
        return None

    def prepare_execution(self, job: rq.job.Job) -> Execution:
        self._hold(job)
        self._job, self._job_began = job, time.monotonic()
        self._step.value = BEFORE_FIRST_STEP
        self._kills_before = out_of_memory_kills()
        assert isinstance(job, AllowedJob)
        evaluation, _, run = job.shown.partition(" ")
        log_ids.update(evaluation=evaluation, run=run)
        log.info("Worker %s: takes %s", self.name, job.shown)
        self.connection.hset(self.key, "doing", job.shown)
        return super().prepare_execution(job)

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        try:
            return super().wait_for_horse()
        except HorseMonitorTimeoutException:
            # RQ asks the wall clock for how long the job has run, and kills it by the answer. A clock that was set
            # in between shall not change that: the start moves with it.
            assert self._job is not None, "a horse has a job"
            self._job.started_at = now() - timedelta(seconds=time.monotonic() - self._job_began)
            raise

    def execute_job(self, job: rq.job.Job, queue: rq.Queue) -> None:
        # Before the training and after it: what is lost so, the controller finds nowhere and sends out again.
        with self._whatever_the_server_does("a job is given up"):
            if self._stop_requested:
                self._hand_back(job)
            else:
                super().execute_job(job, queue)
        self.executions.clear()

    def maintain_heartbeats(self, job: rq.job.Job, execution: Execution) -> None:
        # The training goes on; if the server is back before it ends, nothing is lost.
        with self._whatever_the_server_does("no heartbeat"):
            self._hold(job)
            super().maintain_heartbeats(job, execution)
        if self._told_to_end_at is not None and time.monotonic() - self._told_to_end_at >= self._grace_seconds:
            log.warning("Worker %s: hands its job back after a grace of %g s", self.name, self._grace_seconds)
            self.kill_horse()
            with self._whatever_the_server_does("the job is not handed back"):
                self._hand_back(job)

    def handle_warm_shutdown_request(self) -> None:
        self._told_to_end_at = time.monotonic()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def set_shutdown_requested_date(self) -> None:
        """Nothing: RQ writes it, for display, from inside the signal's handler, where a server may be away."""

    def teardown(self) -> None:
        """Say goodbye to a server that hears it; to wait for one that does not would help nobody."""
        self.connection.set_retry(Retry(NoBackoff(), 0))
        with suppress(redis.exceptions.RedisError):
            super().teardown()  # type: ignore[no-untyped-call]

    @contextmanager
    def _whatever_the_server_does(self, otherwise: str) -> Iterator[None]:
        """Goes on where the server is away, or refuses as when it is full, and says in the log what was not done."""
        try:
            yield
        except redis.exceptions.RedisError as err:
            log.warning("Worker %s: %s, the server fails: %s", self.name, otherwise, err)

    def main_work_horse(self, job: rq.job.Job, queue: rq.Queue) -> None:
        assert self.pid is not None, "set when the worker was made"
        die_with_parent(self.pid, signal.SIGKILL)
        WORKER.set(self._settings)
        super().main_work_horse(job, queue)

    def _serve(self, names: Sequence[str]) -> None:
        """Listen to these queues; to an empty one too, since RQ wants at least one."""
        if [QUEUE, *names] == self.queue_names():
            return
        self.queues = [
            rq.Queue(name, connection=self.connection, serializer=SERIALIZER, job_class=AllowedJob)
            for name in (QUEUE, *names)
        ]

    def _take(self, seconds: float) -> tuple[AllowedJob, rq.Queue] | None:
        """The next job in the queues, waiting so long for one; ids without a job of ours are passed over."""
        while popped := cast(list[bytes] | None, self.connection.blpop(self.queue_keys(), seconds)):
            self._state = WorkerStatus.BUSY  # at a signal RQ ends in any other state, and nobody else has this job
            key, id = (part.decode(errors="replace") for part in popped)  # noqa: A001
            try:
                job = AllowedJob.fetch(id, connection=self.connection, serializer=SERIALIZER)
                return job, next(queue for queue in self.queues if queue.key == key)
            except NoSuchJobError as err:
                log.info("Worker %s: passes over what is no job: %s", self.name, one_line(str(err), 200))
            self._state = WorkerStatus.IDLE
        return None

    def _tidy(self) -> None:
        """Remove what has ended from RQ's lists, which say nothing of who holds a job; the server says when."""
        for queue in self.queues:
            if self.connection.set(queue.registry_cleaning_key, self.name, nx=True, ex=TIDY_SECONDS):
                queue.finished_job_registry.cleanup()
                queue.failed_job_registry.cleanup()
                self.connection.zremrangebyscore(queue.started_job_registry.key, 0, now().timestamp())
                worker_registration.clean_worker_registry(queue)

    def _said(self) -> str:
        """What the worker says of itself."""
        idles = dict(islice(self._matcher.mismatches.items(), MAX_IDLES))
        machine = str(self._matcher.machine)
        return json.dumps({"environment": machine, "versions": self._versions, "idles": idles})

    def _note_step(self, step: int) -> None:
        self._step.value = step

    def _hold(self, job: rq.job.Job) -> None:
        self.connection.set(lease_key(job.id), self.name, ex=LEASE_SECONDS)

    def _hand_back(self, job: rq.job.Job) -> None:
        assert isinstance(job, AllowedJob)
        job.notice("handed back by a worker that was told to end", handed_back=True)

    def _report_exception(
        self, job: rq.job.Job, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        """Runs in the horse, when the job's function raised."""
        assert isinstance(job, AllowedJob)
        if isinstance(error, CallerError):
            job.notice(str(error), hopeless=True)
        elif isinstance(error, JobTimeoutException):
            job.notice(f"took longer than {job.timeout:g} s")
        else:
            job.notice(f"{kind.__name__}: {error}")

    def _report_killed_horse(self, job: rq.job.Job, pid: int | None, status: int | None, usage: Any) -> None:
        """Runs in the worker, when a horse ended without a word of its own."""
        assert isinstance(job, AllowedJob)
        if status is None or not os.WIFSIGNALED(status):
            # As it does where the server is gone at its end: no death of the function's.
            job.notice("the training process ended without a result")
            return
        number = os.WTERMSIG(status)
        text = f"the training process was killed by {signal.Signals(number).name}"
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):  # somebody's doing, or the kernel's
            starved = number == signal.SIGKILL and out_of_memory_kills() > self._kills_before
            job.notice(text + " (out of memory)" if starved else text)
        else:
            job.notice(text, died_at=self._step.value)
