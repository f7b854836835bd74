"""Which runs a worker may serve: those that are bound to the environment it has, or to none yet.

Every run on a server says there what it needs. The first worker that can serve a run binds it to its own environment
(machine, libraries, data); from then on the run's jobs wait in that environment's queue, which equal workers alone
take from. A worker that does not fit stays up, and says which part differs.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, cast

import redis
from pydantic import Field, ValidationError

from actsearch.config import Settings
from actsearch.errors import CallerError
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import QUEUE, Notice, tell
from actsearch_workers.texts import one_line

RUNS_KEY = "actsearch:runs"
"""Hash of run id to Wanted: the runs whose controllers are at work, or were lately."""
SEEN_KEY = "actsearch:seen"
"""Sorted set of the same run ids by their controllers' last word, in seconds of the server's clock."""
ENVIRONMENTS_KEY = "actsearch:environments"
"""Hash of run id to the Environment that the run is bound to: the first worker's that could serve it."""
AWAY_SECONDS = 3600
"""How long workers serve a run whose controller says nothing: its jobs are done meanwhile, and their results wait."""
MAX_RUNS = 1000
"""Runs that a worker looks at; a server with more has been filled by somebody else."""
MAX_REASON = 300

log = logging.getLogger("actsearch.worker")


class Wanted(Settings):
    """What a run needs of its workers."""

    datasets: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(min_length=1, max_length=20)
    environment: str | None = Field(None, pattern=r"^[0-9a-f]{8}$")
    """Fingerprint of the only environment that will do, with its data or without; None: that of the first worker."""
    user_code: bool = False
    """Whether its jobs name the user's own `module:function`."""


def announce(connection: redis.Redis, run: str, wanted: Wanted, bound: Environment | None = None) -> None:
    """Tell the workers of a run, and what it is bound to; again and again, since a server may have lost it.

    Runs whose controllers have not come back go from the list. What they are bound to stays: they may yet.
    """
    now, _ = connection.time()
    away = cast(list[bytes], connection.zrangebyscore(SEEN_KEY, "-inf", now - AWAY_SECONDS))
    with connection.pipeline(transaction=True) as pipe:
        if away:
            pipe.zrem(SEEN_KEY, *away)
            pipe.hdel(RUNS_KEY, *away)
        pipe.zadd(SEEN_KEY, {run: now})
        pipe.hset(RUNS_KEY, run, wanted.model_dump_json())
        if bound is not None:
            pipe.hset(ENVIRONMENTS_KEY, run, bound.model_dump_json())
        pipe.execute()


def withdraw(connection: redis.Redis, run: str) -> None:
    """Have the workers forget a run."""
    connection.zrem(SEEN_KEY, run)
    connection.hdel(RUNS_KEY, run)
    connection.hdel(ENVIRONMENTS_KEY, run)


def bound_environment(connection: redis.Redis, run: str, wanted: Wanted) -> Environment | None:
    """The environment that a run is bound to; None until a worker that will do has bound it."""
    found = _environment(connection.hget(ENVIRONMENTS_KEY, run))
    if found is not None and found.will_do(wanted.environment):
        return found
    connection.hdel(ENVIRONMENTS_KEY, run)  # of another `--environment` before, or not written by a worker
    return None


def queue_name(environment: Environment) -> str:
    """The RQ queue of an environment."""
    return f"{QUEUE}-{environment.fingerprint}"


@dataclass
class Matcher:
    """What a worker serves, looked up again and again.

    Attributes:
        machine: the worker's environment, without data.
        digest: the digest of a data set on this machine; CallerError where it cannot be had.
        allow_user_code: whether the worker imports the user's `module:function`.
        mismatches: after a look, why it idles for a run, by run id.
    """

    machine: Environment
    digest: Callable[[str], str]
    allow_user_code: bool
    mismatches: dict[str, str] = field(default_factory=dict)

    def look(self, connection: redis.Redis) -> list[str]:
        """Names of the queues to serve now, sorted; binds runs that nobody has bound."""
        now, _ = connection.time()
        runs = cast(list[bytes], connection.zrangebyscore(SEEN_KEY, now - AWAY_SECONDS, "+inf", 0, MAX_RUNS + 1))
        if len(runs) > MAX_RUNS:
            self._idle({"": f"more than {MAX_RUNS} runs stand on the server: remove {SEEN_KEY} from it"})
            return []
        queues, mismatches = set(), {}
        for run, wanted, bound in _known(connection, runs):
            served = self._serve(connection, run, wanted, bound)
            if isinstance(served, Environment):
                queues.add(queue_name(served))
            elif served:
                mismatches[run] = served[:MAX_REASON]
        self._idle(mismatches)
        return sorted(queues)

    def _serve(self, connection: redis.Redis, run: str, text: bytes, bound: bytes | None) -> Environment | str | None:
        """The environment in which this worker serves a run, or why it cannot; None for what is no run."""
        try:
            wanted = Wanted.model_validate_json(text)
        except ValidationError:
            return None
        if wanted.user_code and not self.allow_user_code:
            return "it has user code in it, which this worker imports only with --allow-user-code"
        try:
            here = self.machine.on(*map(self.digest, wanted.datasets))
        except CallerError as err:
            return str(err)
        theirs = _environment(bound)
        if not here.will_do(wanted.environment):
            known = theirs if theirs and theirs.will_do(wanted.environment) else None
            return known.differences(here) if known else f"environment {here}, not {wanted.environment}"
        if theirs is None:
            theirs = self._bind(connection, run, here)
        return here if theirs == here else theirs.differences(here)

    @staticmethod
    def _bind(connection: redis.Redis, run: str, here: Environment) -> Environment:
        """The environment that the run is bound to: `here`, unless another worker was faster."""
        if connection.hsetnx(ENVIRONMENTS_KEY, run, here.model_dump_json()):
            tell(connection, run, Notice(evaluation=""))
            log.info("run %s is bound to environment %s", one_line(run), here)
            return here
        return _environment(connection.hget(ENVIRONMENTS_KEY, run)) or here

    def _idle(self, mismatches: dict[str, str]) -> None:
        for run, reason in mismatches.items():
            if self.mismatches.get(run) != reason:
                log.warning("idle for run %s: %s", one_line(run), one_line(reason))
        self.mismatches = mismatches


def _known(connection: redis.Redis, runs: Sequence[bytes]) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Each of the runs, what it says that it needs, and what it is bound to."""
    if not runs:
        return
    wanted = cast(list[bytes | None], connection.hmget(RUNS_KEY, runs))
    bound = cast(list[bytes | None], connection.hmget(ENVIRONMENTS_KEY, runs))
    for run, text, environment in zip(runs, wanted, bound, strict=True):
        if text is not None:
            yield run.decode(errors="replace"), text, environment


def _environment(text: bytes | str | None) -> Environment | None:
    try:
        return None if text is None else Environment.model_validate_json(text)
    except ValidationError:
        return None
