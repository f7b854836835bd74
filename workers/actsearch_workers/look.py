"""A look at the server: its workers, and how many jobs wait. It changes nothing there."""

import json

import redis
import rq
from rq import worker_registration

from actsearch_workers.attempts import count_of
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import QUEUE, attempts_key
from actsearch_workers.matching import queue_name
from actsearch_workers.sight import QueueStatus, WorkerState

FIELD = "actsearch"
"""Field of RQ's hash of a worker in which ours says more of itself, as JSON."""
FIELDS = ("birth", "state", "doing", FIELD)
"""What is read of that hash."""


def queue_status(connection: redis.Redis, run: str, environment: Environment | None = None) -> QueueStatus:
    """What goes on behind a run, by its id; a look that changes nothing."""
    names = sorted(worker_registration.get_keys(connection=connection))
    name = QUEUE if environment is None else queue_name(environment)
    with connection.pipeline(transaction=False) as pipe:
        for key in names:
            pipe.hmget(key, FIELDS)
        pipe.llen(rq.Queue(name, connection=connection).key)
        pipe.hvals(attempts_key(run))
        *found, queued, attempts = pipe.execute()
    return QueueStatus(
        run=run,
        # A key that has expired has no birth: that worker is not there any more.
        workers=tuple(
            _worker(key, *said) for key, (birth, *said) in zip(names, found, strict=True) if birth is not None
        ),
        queued=queued,
        retries=sum(map(count_of, attempts)),
        environment=None if environment is None else str(environment),
    )


def _worker(key: str, state: bytes | None, doing: bytes | None, said: bytes | None) -> WorkerState:
    shown = doing.decode(errors="replace") if doing is not None and state == b"busy" else ""
    evaluation, _, run = shown.partition(" ")
    try:
        more = json.loads((said or b"{}").decode(errors="replace"))
        known = {name: more[name] for name in ("environment", "versions", "idles") if name in more}
        return WorkerState(
            name=key.rpartition(":")[2], evaluation=evaluation or None, run=run or None,
            suspended=state == b"suspended", **known,
        )  # fmt: skip
    except (ValueError, TypeError):  # not from one of our workers
        return WorkerState(name=key.rpartition(":")[2], idles={"": "it is no worker of actsearch"})
