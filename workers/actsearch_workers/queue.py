"""The queue as a search sees it: jobs go in, evaluations come out, whatever happens to the workers.

RQ carries the jobs; the bookkeeping here makes them certain. Every job that was submitted is at any time waiting in
the queue, held by a living worker, or done; one that is none of these has been lost, and goes out again as a new
attempt. Failures of machines are counted and bounded; a search never learns from them.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import redis

from actsearch.errors import ConfigError, RunPausedError
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch_workers.attempts import MAX_DEATHS, MAX_RETRIES, Attempts
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import MAX_ERROR, Notice
from actsearch_workers.run_queue import QueuedRun, RunQueue
from actsearch_workers.sight import QueueStatus, standstill, why_none_fits
from actsearch_workers.texts import one_line

SWEEP_SECONDS = 2.0
"""How often the controller looks for lost jobs."""
LOST_SECONDS = 1.5
"""How long a job must be found nowhere to count as lost: between the queue and a worker's hands it is in neither."""
UNFIT_SECONDS = 20.0
"""How long no worker must fit a run whose workers are all known: longer than a dead one counts as there."""
GATHER_SECONDS = 0.1
"""Results that come within this of those handed over before wait for more: each handing over costs transactions."""
PATIENCE_SECONDS = 300.0
"""How long the server may be away in mid-run before the run pauses."""
MAX_TEXT = 2000
"""Characters of a text that an evaluation may hold."""
SILENT_MILLISECONDS = 4000
"""What is left of a lease after two heartbeats that did not come."""
log = logging.getLogger("actsearch.queue")
log.addHandler(logging.NullHandler())  # nothing goes to stderr, where a view may be, unless logs are set up
_UNREACHABLE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


class RqEvaluator:
    """The Evaluator port of a search on RQ workers.

    Args:
        connection: a client of the server (actsearch_workers.connection.connect); where it is not patient, `collect`
            returns in time while the server is away.
        run: the run, and what it needs of its workers.
        max_retries: failed attempts of one job after which `collect` raises RunPausedError.
        watch: called every few seconds while waiting, to look after what the search started (LocalWorkers.check).
        on_environment: told once what the run is bound to.
        workers_may_come: whether others than those here may come; else a run that none fits pauses.
        patience_seconds: how long the server may be away.
    """

    def __init__(
        self,
        connection: redis.Redis,
        run: QueuedRun,
        *,
        max_retries: int = MAX_RETRIES,
        watch: Callable[[], None] = lambda: None,
        on_environment: Callable[[Environment], None] = lambda _: None,
        workers_may_come: bool = True,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.run = run
        self._server = RunQueue(connection, run)
        self._max_retries = max_retries
        self._watch = watch
        self._on_environment = on_environment
        self._workers_may_come = workers_may_come
        self._patience_seconds = patience_seconds
        self._submitted: dict[str, Job] = {}
        self._jobs: dict[str, Job] = {}
        self._not_put: dict[str, Job] = {}
        self._released: dict[str, str | None] = {}
        self._attempts = Attempts(connection, run.id)
        self._has_asked = False
        self._delivered: set[str] = set()
        self._missed_since: dict[str, float] = {}
        self._silent = 0
        self._unfit_since: float | None = None
        self._next_sweep = 0.0
        self._gather_until = 0.0
        self._unreachable_since: float | None = None
        self._status = QueueStatus()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs. One that is already queued, running or done is left as it is.

        The first call has every job in it that the store has no result of: results of others are cleared away.
        While the server is away, and before a worker has bound the run to its environment, the jobs wait here.
        """
        for job in jobs:
            if job.run != self.run.name:
                raise ConfigError(f"a job of run {job.run!r} was given to the queue of run {self.run.name!r}")
            if job.evaluation not in self._jobs:
                self._submitted[job.evaluation] = job.model_copy(update={"run": self.run.id})
        if self._submitted:
            self._next_sweep = 0.0
            self._tell_server_now_or_later()

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        """Evaluations that have arrived since the last call, waiting up to the timeout for the first.

        Raises:
            RunPausedError: a job that fails however often it is tried, or at once where no attempt can help; a server
                that has been away for too long; no worker that fits, where none may come.
        """
        deadline = time.monotonic() + timeout_seconds
        time.sleep(max(0.0, min(self._gather_until, deadline) - time.monotonic()))
        while True:
            try:
                self._tell_server()
                found = self._read_inbox(deadline)
                if time.monotonic() >= self._next_sweep:
                    found |= self._sweep()
                    self._watch()
                    self._check_workers()
                    self._next_sweep = time.monotonic() + SWEEP_SECONDS
                evaluations = self._take(found)
                self._unreachable_since = None
            except _UNREACHABLE as err:
                self._wait_for_server(err)
                evaluations = []
            except redis.exceptions.RedisError as err:
                raise RunPausedError(f"the Redis-compatible server fails: {err}") from err
            if evaluations or time.monotonic() >= deadline:
                self._gather_until = time.monotonic() + GATHER_SECONDS if evaluations else 0.0
                return evaluations

    def release(self, evaluations: Sequence[Evaluation]) -> None:
        """Forget evaluations that the store holds."""
        for key in [e.evaluation for e in evaluations]:
            # Where an earlier attempt, given up as lost, came in after all, the one that still waits is taken back.
            tried_again = key in self._jobs and self._attempts.number(key) > 0
            self._released[key] = self._attempts.job_id(key) if tried_again else None
            self._attempts.forget(key)
            self._jobs.pop(key, None)
            self._delivered.discard(key)
            self._missed_since.pop(key, None)
        if self._released:
            self._tell_server_now_or_later()

    def close(self) -> None:
        """The run is over: its workers may forget it, and nothing of it stays on the server."""
        with suppress(redis.exceptions.RedisError):
            self._server.withdraw()

    def status(self) -> QueueStatus:
        """What goes on behind the run; the last that was known while the server is away."""
        if self._unreachable_since is not None:
            away = time.monotonic() - self._unreachable_since
            self._status = self._status.model_copy(update={"away_seconds": away})
            return self._status
        with suppress(redis.exceptions.RedisError):
            self._status = self._server.status().model_copy(
                update={"silent": self._silent, "missing": len(self._missed_since)}
            )
        return self._status

    def why_nothing_moves(self, in_flight: int) -> list[str]:
        """Reasons, as far as the last `status` shows them; none where something moves."""
        if in_flight and not self._workers_may_come and not self._status.workers and self._unreachable_since is None:
            return ["its workers are not there yet"]  # who started them looks after them
        return standstill(self._status, in_flight)

    def _tell_server_now_or_later(self) -> None:
        """Tell the server at once where it answers; else `collect` does so, which waits for it."""
        if self._unreachable_since is not None:
            return
        try:
            self._tell_server()
        except _UNREACHABLE:
            self._unreachable_since = time.monotonic()
        except redis.exceptions.RedisError as err:
            raise RunPausedError(f"the Redis-compatible server fails: {err}") from err

    def _tell_server(self) -> None:
        """Tell the server what was released and submitted since it was last told; told twice it does the same."""
        if self._released:
            self._server.clear(list(self._released), [job_id for job_id in self._released.values() if job_id])
            self._released.clear()
        if self._submitted:
            self._attempts.load(list(self._submitted))
            self._jobs |= self._submitted
            self._not_put |= self._submitted
            self._has_asked = True
            self._submitted.clear()
            self._bind()

    def _bind(self) -> None:
        """Ask the workers for one that binds the run; once one has, let the jobs that have waited for it go out."""
        if self._server.bind():
            assert self._server.environment is not None
            self._on_environment(self._server.environment)
        if self._server.is_bound and self._not_put:
            done = self._server.done(list(self._not_put))
            for key, job in self._not_put.items():
                if key in self._jobs and key not in done:
                    self._server.put(job, self._attempts.job_id(key))
            self._not_put.clear()

    def _read_inbox(self, deadline: float) -> set[str]:
        """Wait for a notice, at most until the deadline or the next sweep; the evaluations that have results."""
        seconds = max(0.01, min(deadline, self._next_sweep) - time.monotonic())
        done = set()
        for notice in self._server.notices(seconds):
            if not notice.evaluation:
                self._next_sweep = 0.0
            elif not notice.error:
                done.add(notice.evaluation)
            else:
                self._failed(notice)
        return done

    def _sweep(self) -> set[str]:
        """Find what no notice told: results from before this process, and jobs that nobody holds."""
        self._bind()
        ids = {key: self._attempts.job_id(key) for key in self._jobs if key not in self._delivered}
        picture = self._server.picture(list(ids.values()))
        if self._has_asked and (stored := picture.done - self._jobs.keys()):
            # Whoever drives the run asks first for all that the store has no result of: the store has these. They are a
            # second attempt's, or from before a kill that came between storing and releasing.
            self._server.clear(list(stored))
        self._silent = sum(0 <= left < SILENT_MILLISECONDS for left in picture.leases.values())
        if self._server.is_bound:
            held = {job_id for job_id, left in picture.leases.items() if left >= 0}
            self._miss([key for key in ids if key not in picture.done and ids[key] not in picture.queued | held])
        return picture.done

    def _miss(self, keys: Sequence[str]) -> None:
        """These jobs were found nowhere just now; those that have been for long enough are lost."""
        now = time.monotonic()
        self._missed_since = {key: self._missed_since.get(key, now) for key in keys}
        for key in [key for key, since in self._missed_since.items() if now - since >= LOST_SECONDS]:
            del self._missed_since[key]
            number = self._attempts.number(key)
            self._failed(Notice(evaluation=key, attempt=number, error="the worker that had it is gone"))

    def _check_workers(self) -> None:
        """Where no other workers can come, a run that none fits would wait for ever."""
        if self._workers_may_come:
            return
        reason, now = why_none_fits(self.status()), time.monotonic()
        if not reason:
            self._unfit_since = None
        elif self._unfit_since is None:
            self._unfit_since = now
        elif now - self._unfit_since >= UNFIT_SECONDS:
            raise RunPausedError(reason)

    def _take(self, keys: set[str]) -> list[Evaluation]:
        """The results of evaluations that were asked for and not handed out yet."""
        wanted = sorted(key for key in keys if key in self._jobs and key not in self._delivered)
        if not wanted:
            return []
        evaluations = []
        for key, text in zip(wanted, self._server.results(wanted), strict=True):
            if text is None:
                continue
            try:
                evaluation = Evaluation.from_json(text)
                evaluation.check_answers(self._jobs[key])
            except ConfigError as err:
                self._server.clear([key])
                self._failed(Notice(evaluation=key, attempt=self._attempts.number(key), error=str(err)[:MAX_ERROR]))
                continue
            said = {name: one_line(getattr(evaluation, name), MAX_TEXT) for name in ("reason", "worker", "environment")}
            evaluations.append(evaluation.model_copy(update={**said, "run": self.run.name}))
        self._delivered.update(e.evaluation for e in evaluations)
        return evaluations

    def _failed(self, notice: Notice) -> None:
        """Count a failed attempt and send the job out again, or quarantine its function, or pause the run."""
        key = notice.evaluation
        job = self._jobs.get(key)
        if job is None or key in self._delivered or notice.attempt != self._attempts.number(key):
            return
        if self._server.done([key]):
            return  # it was killed after it had written its result
        deaths = self._attempts.deaths(notice)
        self._attempts.over(notice)  # where the run pauses too: a resumed one goes straight on with the next
        described = f"evaluation {key} ({' '.join(job.tokens)})"
        failures = self._attempts.failures(key)
        log.warning("%s: %s", described, notice.error, extra={"run": self.run.id, "evaluation": key})
        if deaths >= MAX_DEATHS:
            self._server.publish(_quarantined(job, notice, deaths))
        elif notice.hopeless:
            raise RunPausedError(f"{described} cannot be run by its worker: {notice.error}")
        elif failures > self._max_retries:
            raise RunPausedError(f"{described} failed {failures} times, last: {notice.error}")
        else:
            self._server.put(job, self._attempts.job_id(key), at_front=True)  # the batch waits for it already

    def _wait_for_server(self, err: Exception) -> None:
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if now - self._unreachable_since > self._patience_seconds:
            raise RunPausedError(
                f"the Redis-compatible server has not answered for {self._patience_seconds:g} s: {err}"
            ) from err
        self._watch()
        time.sleep(0.5)


def _quarantined(job: Job, notice: Notice, deaths: int) -> Evaluation:
    where = "before the first step" if notice.died_at == -1 else f"at step {notice.died_at}"
    reason = f"its process died {deaths} times {where}: {notice.error}"
    return Evaluation(run=job.run, evaluation=job.evaluation, outcome=Outcome.QUARANTINED, reason=reason)
