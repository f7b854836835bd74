"""A job as a worker reads it from the server: whatever somebody hostile put there, it trains a child or is no job."""

import json
import logging
import re
import time
import zlib
from collections.abc import Mapping
from typing import Any, Self, cast

import redis
import rq.job
from rq.exceptions import DeserializationError, NoSuchJobError

from actsearch.config import MAX_TIMEOUT_SECONDS
from actsearch.errors import ConfigError
from actsearch.evaluation import MAX_BYTES, Evaluation
from actsearch_workers.jobs import FINISHED_JOB_SECONDS, FUNCTION, MAX_ERROR, Notice, evaluate, publish, tell
from actsearch_workers.texts import one_line

HOLD_SECONDS = 330.0
"""How long a worker holds a result that the server does not take; a run without server pauses after 300 s."""

log = logging.getLogger("actsearch.worker")


class AllowedJob(rq.job.Job):
    """An RQ job that can only be `evaluate`, whatever its hash in Redis says.

    RQ imports by name the function and three callbacks, fetches URLs (webhooks), retries and repeats as often as it is
    told and decompresses without limit. Here a hash can ask for none of it: other fields than those of our jobs are not
    read, one that cannot be a job of ours is treated as if it were not there, and the worker goes on.
    """

    @property
    def func(self) -> Any:
        if self.func_name != FUNCTION or self.instance is not None:
            raise ConfigError(f"a job may only call {FUNCTION}, not {str(self.func_name)[:80]!r}")
        return evaluate

    @classmethod
    def fetch(cls, id: str, connection: redis.Redis | None = None, serializer: Any = None) -> Self:  # noqa: A002
        try:
            return cast(Self, super().fetch(id, connection=connection, serializer=serializer))
        except (NoSuchJobError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            raise
        # RQ's worker quits on any other error here: one malformed hash would take down every worker in turn.
        except Exception as err:
            raise NoSuchJobError(f"not one of our jobs: {id[:80]!r}") from err

    def restore(self, raw_data: Mapping[bytes, bytes]) -> Any:
        """Read the hash. RQ sees only the fields that our jobs have, and decompresses no more than a job's size."""
        if sum(map(len, raw_data.values())) > 4 * MAX_BYTES:
            raise NoSuchJobError(f"job {self.id} is larger than a job may be")
        unpacked = zlib.decompressobj()
        try:
            unpacked.decompress(raw_data.get(b"data", b""), 2 * MAX_BYTES)
        except zlib.error as err:
            raise NoSuchJobError(f"the data of job {self.id} is not compressed") from err
        if unpacked.unconsumed_tail:
            raise NoSuchJobError(f"job {self.id} is larger than a job may be")
        super().restore({name: value for name, value in raw_data.items() if name in _FIELDS})
        self.result_ttl = self.failure_ttl = FINISHED_JOB_SECONDS
        if not self.timeout or not 1 <= self.timeout <= MAX_TIMEOUT_SECONDS:
            raise NoSuchJobError(f"job {self.id} has no time limit")

    def perform(self) -> None:
        """Run the job and publish its result under its run; RQ itself keeps none.

        A result is minutes of training: where the server is away or full, it is held for longer than a run waits.
        """
        evaluation = Evaluation.from_json(json.dumps(super().perform()))
        give_up_at = time.monotonic() + HOLD_SECONDS
        while True:
            try:
                publish(self.connection, evaluation)
            except redis.exceptions.RedisError as err:
                if time.monotonic() >= give_up_at:
                    raise
                log.warning("the result of %s waits for the server: %s", evaluation.evaluation, err)
                time.sleep(1)
            else:
                return

    def notice(self, error: str, **facts: Any) -> None:
        """Tell the run that this attempt failed; nothing for a job that names none. `facts`: fields of Notice."""
        attempt = self._attempt()
        if attempt is None:
            return
        run, evaluation, number = attempt
        text = " ".join(error.encode(errors="backslashreplace").decode().split())[:MAX_ERROR]
        message = Notice(evaluation=evaluation, attempt=number, error=text, **facts)
        tell(self.connection, run, message)

    @property
    def shown(self) -> str:
        """Evaluation and run as the job's hash says them, in one bounded line."""
        return one_line(" ".join(str(self.description or "").split()), 300)

    def _attempt(self) -> tuple[str, str, int] | None:
        """Run, evaluation and number of the attempt, as payload and id name them; None where one of them cannot be."""
        try:
            run, evaluation = self.args[0]["run"], self.args[0]["evaluation"]
        except (DeserializationError, LookupError, TypeError, RecursionError):
            return None
        number = _NUMBER.search(self.id)
        if not (isinstance(run, str) and isinstance(evaluation, str) and number):
            return None
        return (run, evaluation, int(number[1])) if _RUN.fullmatch(run) and _EVALUATION.fullmatch(evaluation) else None


_RUN = re.compile(r"[^\ud800-\udfff]{1,200}")  # text that can be sent: no half of a surrogate pair
_EVALUATION = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"-([0-9]{1,9})\Z")

_FIELDS = frozenset(
    {
        b"created_at",
        b"data",
        b"description",
        b"ended_at",
        b"enqueued_at",
        b"last_heartbeat",
        b"origin",
        b"started_at",
        b"status",
        b"timeout",
        b"worker_name",
    }
)
"""Of RQ's hash. Others have it call back, retry, repeat, wait for jobs, fetch URLs or decompress without limit."""
