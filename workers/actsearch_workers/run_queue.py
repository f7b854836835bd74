"""A run's jobs and results on the server: what is put there, and what is found there.

What a find means, such as a job that nobody has, is for its caller to say (actsearch_workers.queue).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import redis
import rq
from rq.exceptions import DuplicateJobError

from actsearch.evaluation import Evaluation, Job
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import (
    FINISHED_JOB_SECONDS,
    FUNCTION,
    SERIALIZER,
    Notice,
    attempts_key,
    deaths_key,
    inbox_key,
    lease_key,
    publish,
    results_key,
)
from actsearch_workers.look import queue_status
from actsearch_workers.matching import Wanted, announce, bound_environment, queue_name, withdraw
from actsearch_workers.sight import QueueStatus

MAX_NOTICES = 1000
"""Notices that are read at once."""


@dataclass(frozen=True, kw_only=True)
class QueuedRun:
    """A search, finals or a verification, as its queue knows it.

    Attributes:
        id: what its keys and jobs carry: nothing else has it, not even a run of the same name in another folder.
        name: the name in the store of the run that it is part of.
        wanted: what it needs of its workers.
        is_bound_anew: whether it gives up the environment that the server may hold for it.
    """

    id: str
    name: str
    wanted: Wanted
    is_bound_anew: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Where a run's jobs are, all at one moment.

    Attributes:
        done: evaluations that have a result.
        queued: ids of the jobs that wait for a worker.
        leases: by job asked for, the milliseconds that its worker's lease has left; negative where nobody holds it.
    """

    done: set[str]
    queued: set[str]
    leases: dict[str, int]


class RunQueue:
    """The keys of one run, and the RQ queue of its environment.

    Every method may raise redis.exceptions.RedisError.

    Args:
        connection: a client of the server.
        run: the run.

    Attributes:
        environment: what the run is bound to; None until a worker has bound it.
    """

    def __init__(self, connection: redis.Redis, run: QueuedRun) -> None:
        self._connection = connection
        self._run = run
        self._gives_up_binding = run.is_bound_anew
        self._queue: rq.Queue | None = None
        self.environment: Environment | None = None

    @property
    def is_bound(self) -> bool:
        """Whether jobs can be put: before a worker has bound the run there is no queue for them."""
        return self._queue is not None

    def bind(self) -> bool:
        """Ask the workers for one that binds the run, again and again; whether one has, since the last call."""
        if self._gives_up_binding:
            withdraw(self._connection, self._run.id)
            self._gives_up_binding = False
        announce(self._connection, self._run.id, self._run.wanted, self.environment)
        if self.is_bound:
            return False
        self.environment = bound_environment(self._connection, self._run.id, self._run.wanted)
        if self.environment is None:
            return False
        self._queue = rq.Queue(
            queue_name(self.environment), connection=self._connection, serializer=SERIALIZER, job_class=AllowedJob
        )
        return True

    def put(self, job: Job, job_id: str, *, at_front: bool = False) -> None:
        """Queue a job of a bound run, unless one of that id is queued, running or just finished."""
        assert self._queue is not None, "jobs go out when the run is bound"
        # A duplicate that has been lost is found by the next look.
        with suppress(DuplicateJobError):
            self._queue.enqueue_call(
                FUNCTION,
                args=(job.model_dump(mode="json"),),
                timeout=job.timeout_seconds,
                result_ttl=FINISHED_JOB_SECONDS,
                failure_ttl=FINISHED_JOB_SECONDS,
                description=f"{job.evaluation} {job.run}",
                job_id=job_id,
                at_front=at_front,
                unique=True,
            )

    def notices(self, wait_seconds: float) -> list[Notice]:
        """What workers have told since the last call, waiting for the first; without what none of ours wrote."""
        first = self._connection.blpop([inbox_key(self._run.id)], wait_seconds)
        more = self._connection.lpop(inbox_key(self._run.id), MAX_NOTICES) or []
        notices = []
        for line in [*([first[1]] if first else []), *cast(list[bytes], more)]:
            with suppress(ValueError):
                notices.append(Notice.model_validate_json(line))
        return notices

    def picture(self, job_ids: Sequence[str]) -> Picture:
        """Where these jobs are, and which evaluations of the run have results."""
        with self._connection.pipeline(transaction=True) as pipe:
            pipe.hkeys(results_key(self._run.id))
            pipe.lrange(self._waiting, 0, -1)
            for job_id in job_ids:
                pipe.pttl(lease_key(job_id))
            done, queued, *leases = pipe.execute()
        return Picture(done=_texts(done), queued=_texts(queued), leases=dict(zip(job_ids, leases, strict=True)))

    def done(self, evaluations: Sequence[str]) -> set[str]:
        """Those that have a result, without reading it."""
        with self._connection.pipeline(transaction=False) as pipe:
            for evaluation in evaluations:
                pipe.hexists(results_key(self._run.id), evaluation)
            return {key for key, is_there in zip(evaluations, pipe.execute(), strict=True) if is_there}

    def results(self, evaluations: Sequence[str]) -> list[bytes | None]:
        """The JSON of each one's Evaluation, as somebody put it there; None where there is none."""
        return cast(list[bytes | None], self._connection.hmget(results_key(self._run.id), list(evaluations)))

    def publish(self, evaluation: Evaluation) -> None:
        """Put a result there as a worker would."""
        publish(self._connection, evaluation)

    def clear(self, evaluations: Sequence[str], job_ids: Sequence[str] = ()) -> None:
        """Remove results, what is known of deaths, and jobs that still wait."""
        with self._connection.pipeline(transaction=True) as pipe:
            for job_id in job_ids:
                pipe.lrem(self._waiting, 1, job_id)
            pipe.hdel(results_key(self._run.id), *evaluations)
            pipe.hdel(deaths_key(self._run.id), *evaluations)
            removed = pipe.execute()
        # A worker may have the others: RQ ends those.
        if waiting := [AllowedJob.key_for(job_id) for job_id, count in zip(job_ids, removed, strict=False) if count]:
            self._connection.delete(*waiting)

    @property
    def _waiting(self) -> str:
        """Key of the list of jobs that wait; of none before the run is bound."""
        return "" if self._queue is None else str(self._queue.key)

    def status(self) -> QueueStatus:
        """The server's workers, and how many jobs wait."""
        return queue_status(self._connection, self._run.id, self.environment)

    def withdraw(self) -> None:
        """Have the workers forget the run, and the server all that is kept for it."""
        withdraw(self._connection, self._run.id)
        self._connection.delete(*(key(self._run.id) for key in (results_key, attempts_key, deaths_key, inbox_key)))


def _texts(values: Any) -> set[str]:
    return {value.decode(errors="replace") for value in values}
