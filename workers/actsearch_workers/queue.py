"""The queue as a search sees it: jobs go in, evaluations come out, whatever happens to the workers.

RQ carries the jobs; the bookkeeping here makes them certain. Every job that was submitted is at any time waiting in
the queue, held by a living worker, or done; one that is none of these has been lost, and goes out again as a new
attempt. Failures of machines are counted and bounded; a search never learns from them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis
import rq
from rq import worker_registration
from rq.exceptions import DuplicateJobError

from actsearch.errors import ConfigError, RunPausedError
from actsearch.evaluation import Evaluation, Job
from actsearch_workers.jobs import (
    FINISHED_JOB_SECONDS,
    FUNCTION,
    QUEUE,
    SERIALIZER,
    AllowedJob,
    Notice,
    attempts_key,
    inbox_key,
    job_id,
    lease_key,
    results_key,
)

MAX_RETRIES = 20
"""Failed attempts of one job after which its run pauses."""
SWEEP_SECONDS = 2.0
"""How often the controller looks for lost jobs."""
LOST_SECONDS = 1.5
"""How long a job must be found nowhere to count as lost: between the queue and a worker's hands it is in neither."""
PATIENCE_SECONDS = 300.0
"""How long the server may be away in mid-run before the run pauses."""
_UNREACHABLE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


@dataclass(frozen=True)
class WorkerState:
    """A living worker, and the evaluation and run it is busy with (None: idle)."""

    name: str
    evaluation: str | None
    run: str | None


@dataclass(frozen=True)
class QueueStatus:
    """What goes on behind a run."""

    workers: tuple[WorkerState, ...]
    """All workers of the server, by name."""
    queued: int
    """Jobs that wait for a worker, of all runs on the server."""
    retries: int
    """Attempts of this run's jobs that failed."""


class RqEvaluator:
    """The Evaluator port of a search on RQ workers.

    Args:
        connection: a client of the server (actsearch_workers.connection.connect).
        run: the run's name; its jobs carry it.
        max_retries: failed attempts of one job after which `collect` raises RunPausedError.
        watch: called every few seconds while waiting, to look after what the search started (LocalWorkers.check).
        patience_seconds: how long the server may be away.
    """

    def __init__(
        self,
        connection: redis.Redis,
        run: str,
        *,
        max_retries: int = MAX_RETRIES,
        watch: Callable[[], None] = lambda: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = connection
        self._run = run
        self._max_retries = max_retries
        self._watch = watch
        self._patience_seconds = patience_seconds
        self._queue = rq.Queue(QUEUE, connection=connection, serializer=SERIALIZER, job_class=AllowedJob)
        self._jobs: dict[str, Job] = {}
        self._attempts: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._delivered: set[str] = set()
        self._missed_since: dict[str, float] = {}
        self._next_sweep = 0.0
        self._unreachable_since: float | None = None
        self._status = QueueStatus(workers=(), queued=0, retries=0)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs. One that is already queued, running or done is left as it is."""
        jobs = [job for job in jobs if job.evaluation not in self._jobs]
        if not jobs:
            return
        for job in jobs:
            if job.run != self._run:
                raise ConfigError(f"a job of run {job.run!r} was given to the queue of run {self._run!r}")
        keys = [job.evaluation for job in jobs]
        with _server_needed():
            attempts = self._connection.hmget(attempts_key(self._run), keys)
            done = self._connection.hmget(results_key(self._run), keys)
            for job, attempt, result in zip(jobs, attempts, done, strict=True):
                self._jobs[job.evaluation] = job
                self._attempts[job.evaluation] = int(attempt or 0)
                if result is None:
                    self._enqueue(job)
        self._next_sweep = 0.0

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        """Evaluations that have arrived since the last call, waiting up to the timeout for the first.

        Raises:
            RunPausedError: a job that fails however often it is tried, or at once where no attempt can help; or
                a server that has been away for too long.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                found = self._read_inbox(deadline)
                if time.monotonic() >= self._next_sweep:
                    found |= self._sweep()
                    self._watch()
                    self._next_sweep = time.monotonic() + SWEEP_SECONDS
                evaluations = self._take(found)
                self._unreachable_since = None
            except _UNREACHABLE as err:
                self._wait_for_server(err)
                evaluations = []
            except redis.exceptions.RedisError as err:
                raise RunPausedError(f"the Redis-compatible server fails: {err}") from err
            if evaluations or time.monotonic() >= deadline:
                return evaluations

    def release(self, evaluations: Sequence[Evaluation]) -> None:
        """Forget evaluations that the store holds."""
        keys = [e.evaluation for e in evaluations]
        if not keys:
            return
        with _server_needed(), self._connection.pipeline(transaction=True) as pipe:
            pipe.hdel(results_key(self._run), *keys)
            for key in keys:
                if self._attempts.get(key):
                    # An earlier attempt, given up as lost, came in after all: take back the one that still waits.
                    pipe.lrem(self._queue.key, 1, job_id(self._run, key, self._attempts[key]))
            pipe.execute()
        for key in keys:
            self._jobs.pop(key, None)
            self._attempts.pop(key, None)
            self._failures.pop(key, None)
            self._delivered.discard(key)
            self._missed_since.pop(key, None)

    def status(self) -> QueueStatus:
        """What goes on behind the run; the last that was known while the server is away."""
        with suppress(redis.exceptions.RedisError):
            self._status = queue_status(self._connection, self._run)
        return self._status

    def _enqueue(self, job: Job) -> None:
        # A duplicate is queued, running or just finished; if it has been lost, a sweep finds out.
        with suppress(DuplicateJobError):
            self._queue.enqueue_call(
                FUNCTION,
                args=(job.model_dump(mode="json"),),
                timeout=job.timeout_seconds,
                result_ttl=FINISHED_JOB_SECONDS,
                failure_ttl=FINISHED_JOB_SECONDS,
                description=f"{job.evaluation} {job.run}",
                job_id=job_id(job.run, job.evaluation, self._attempts[job.evaluation]),
                unique=True,
            )

    def _read_inbox(self, deadline: float) -> set[str]:
        """Wait for a notice, at most until the deadline or the next sweep; the evaluations that have results."""
        seconds = max(0.01, min(deadline, self._next_sweep) - time.monotonic())
        first = self._connection.blpop([inbox_key(self._run)], seconds)
        more = self._connection.lpop(inbox_key(self._run), 1000) or []
        raw = [*([first[1]] if first else []), *more]
        done = set()
        for line in raw:
            try:
                notice = Notice.model_validate_json(line)
            except ValueError:
                continue  # not from one of our workers
            if not notice.error:
                done.add(notice.evaluation)
            else:
                self._failed(notice)
        return done

    def _sweep(self) -> set[str]:
        """Find what no notice told: results from before this process, and jobs that nobody holds."""
        waiting = [key for key in self._jobs if key not in self._delivered]
        ids = {key: job_id(self._run, key, self._attempts[key]) for key in waiting}
        with self._connection.pipeline(transaction=True) as pipe:  # one moment's picture
            pipe.hkeys(results_key(self._run))
            pipe.lrange(self._queue.key, 0, -1)
            for key in waiting:
                pipe.exists(lease_key(ids[key]))
            results, queued, *held = pipe.execute()
        done = {key.decode(errors="replace") for key in results}
        queued = {key.decode(errors="replace") for key in queued}
        now = time.monotonic()
        self._missed_since = {
            key: self._missed_since.get(key, now)
            for key, lease in zip(waiting, held, strict=True)
            if not lease and key not in done and ids[key] not in queued
        }
        for key in [key for key, since in self._missed_since.items() if now - since >= LOST_SECONDS]:
            del self._missed_since[key]
            self._failed(Notice(evaluation=key, attempt=self._attempts[key], error="the worker that had it is gone"))
        return done

    def _take(self, keys: set[str]) -> list[Evaluation]:
        """The results of evaluations that were asked for and not handed out yet."""
        wanted = sorted(key for key in keys if key in self._jobs and key not in self._delivered)
        if not wanted:
            return []
        evaluations = []
        for key, text in zip(wanted, self._connection.hmget(results_key(self._run), wanted), strict=True):
            if text is None:
                continue
            try:
                evaluation = Evaluation.from_json(text)
                if (evaluation.run, evaluation.evaluation) != (self._run, key):
                    raise ConfigError(f"not the evaluation asked for, but {evaluation.evaluation[:20]!r}")
            except ConfigError as err:
                self._connection.hdel(results_key(self._run), key)
                self._failed(Notice(evaluation=key, attempt=self._attempts[key], error=str(err)[:500]))
                continue
            evaluations.append(evaluation)
        self._delivered.update(e.evaluation for e in evaluations)
        return evaluations

    def _failed(self, notice: Notice) -> None:
        """Count a failed attempt and send the job out again, or pause the run."""
        key = notice.evaluation
        job = self._jobs.get(key)
        if job is None or key in self._delivered or notice.attempt != self._attempts[key]:
            return
        if self._connection.hexists(results_key(self._run), key):
            return  # it was killed after it had written its result
        self._failures[key] = self._failures.get(key, 0) + 1
        # The failed attempt is over even where the run pauses: a resumed one goes straight on with the next.
        with self._connection.pipeline(transaction=True) as pipe:
            pipe.hincrby(attempts_key(self._run), key, 1)
            pipe.delete(AllowedJob.key_for(job_id(self._run, key, notice.attempt)))
            self._attempts[key], *_ = pipe.execute()
        described = f"evaluation {key} ({' '.join(job.tokens)})"
        if notice.hopeless:
            raise RunPausedError(f"{described} cannot be run by its worker: {notice.error}")
        if self._failures[key] > self._max_retries:
            raise RunPausedError(f"{described} failed {self._failures[key]} times, last: {notice.error}")
        self._enqueue(job)

    def _wait_for_server(self, err: Exception) -> None:
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if now - self._unreachable_since > self._patience_seconds:
            raise RunPausedError(
                f"the Redis-compatible server has not answered for {self._patience_seconds:g} s: {err}"
            ) from err
        self._watch()
        time.sleep(0.5)


@contextmanager
def _server_needed() -> Iterator[None]:
    """Pause the run where the server refuses, or stays away for as long as its client reconnects (a minute)."""
    try:
        yield
    except redis.exceptions.RedisError as err:
        raise RunPausedError(f"the Redis-compatible server fails: {err}") from err


def queue_status(connection: redis.Redis, run: str) -> QueueStatus:
    """What goes on behind a run; a look that changes nothing."""
    names = sorted(worker_registration.get_keys(rq.Queue(QUEUE, connection=connection)))
    with connection.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hmget(name, "state", "doing", "birth")
        pipe.llen(rq.Queue(QUEUE, connection=connection).key)
        pipe.hvals(attempts_key(run))
        *found, queued, attempts = pipe.execute()
    workers = []
    for key, (state, doing, birth) in zip(names, found, strict=True):
        if birth is None:
            continue  # its key has expired: not there any more
        busy = (doing or b"").decode() if state == b"busy" else ""
        evaluation, _, its_run = busy.partition(" ")
        workers.append(WorkerState(key.rpartition(":")[2], evaluation or None, its_run or None))
    return QueueStatus(tuple(workers), queued, sum(int(n) for n in attempts))
