"""Failed attempts of a run's jobs: counted in the server, bounded, and judged.

A machine's failure says nothing about a function and is tried again, a bounded number of times. A process that dies
by its own doing at the same step again and again, while its worker lives, is the function's: it is quarantined.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import redis
from pydantic import Field, TypeAdapter, ValidationError

from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.jobs import Notice, attempts_key, deaths_key, job_id

MAX_RETRIES = 20
"""Failed attempts of one job after which its run pauses."""
MAX_DEATHS = 5
"""Deaths at one step after which a function is quarantined."""


@dataclass
class Attempts:
    """The attempts of the jobs that a run waits for.

    Attributes:
        connection: the server.
        run: the run's id there.
    """

    connection: redis.Redis
    run: str
    _numbers: dict[str, int] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    def load(self, evaluations: Sequence[str]) -> None:
        """Begin with what the server knows of these evaluations."""
        found = self.connection.hmget(attempts_key(self.run), evaluations)
        self._numbers |= {key: count_of(number) for key, number in zip(evaluations, found, strict=True)}

    def number(self, evaluation: str) -> int:
        """The attempt that is under way, from 0."""
        return self._numbers[evaluation]

    def failures(self, evaluation: str) -> int:
        """How many failed since this object knows of it: a resumed run has its retries anew."""
        return self._failures.get(evaluation, 0)

    def job_id(self, evaluation: str) -> str:
        """RQ's id of the attempt under way."""
        return job_id(self.run, evaluation, self.number(evaluation))

    def over(self, notice: Notice) -> None:
        """The attempt under way is over, without a result; the next one has the next number."""
        key = notice.evaluation
        with self.connection.pipeline(transaction=True) as pipe:
            pipe.hset(attempts_key(self.run), key, str(notice.attempt + 1))
            pipe.delete(AllowedJob.key_for(job_id(self.run, key, notice.attempt)))
            pipe.execute()
        self._numbers[key] = notice.attempt + 1
        if not notice.handed_back:
            self._failures[key] = self.failures(key) + 1

    def deaths(self, notice: Notice) -> int:
        """How often the evaluation's process died at the notice's step, this time included; 0 where it did not die."""
        if notice.died_at is None:
            return 0
        counts = _counts(self.connection.hget(deaths_key(self.run), notice.evaluation))
        step = str(notice.died_at)
        counts[step] = counts.get(step, 0) + 1
        self.connection.hset(deaths_key(self.run), notice.evaluation, json.dumps(counts))
        return counts[step]

    def forget(self, evaluation: str) -> None:
        """The store has this one. What the server knows of it goes with its result."""
        self._numbers.pop(evaluation, None)
        self._failures.pop(evaluation, None)


_Count = Annotated[int, Field(ge=0, lt=2**31)]
_COUNT, _COUNTS = TypeAdapter(_Count), TypeAdapter(dict[str, _Count])


def count_of(text: bytes | str | None) -> int:
    """A count that a server keeps; 0 where it keeps none, or something that is none of ours."""
    try:
        return _COUNT.validate_json(text or "0")
    except ValidationError:
        return 0


def _counts(text: bytes | str | None) -> dict[str, int]:
    """Likewise counts by name."""
    try:
        return _COUNTS.validate_json(text or "{}")
    except ValidationError:
        return {}
