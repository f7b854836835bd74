"""So many workers in one process: everything of a worker but the training, for `scaling.py`, which starts it.

They look for runs, bind them, take jobs from the real queue, hold leases, register and send heartbeats as real ones do,
and publish evaluations of real size. RQ's own registries of jobs at work are left out. Rewards are a hash of the job's
seed, which itself hashes the function's fingerprint, plus noise; durations are lognormal; some functions diverge, some
attempts fail, and some workers vanish with their job.

    python benchmarks/simulated_workers.py unix:///tmp/…/socket --workers 1000
"""

import argparse
import hashlib
import heapq
import json
import math
import os
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import redis
import rq
from rq.exceptions import NoSuchJobError
from rq.utils import utcformat
from rq.worker_registration import REDIS_WORKER_KEYS

from actsearch.evaluation import Evaluation, Job, LayerRecord, Outcome
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.connection import Address, connect
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import FINISHED_JOB_SECONDS, SERIALIZER, lease_key, publish
from actsearch_workers.look import FIELD
from actsearch_workers.matching import Matcher
from actsearch_workers.worker import ALIVE_SECONDS, HEARTBEAT_SECONDS, LEASE_SECONDS

MACHINE = Environment(torch="none", numpy="none", device="simulated", activations="none")
LAYERS = (("stem", 8), ("1.a", 8), ("1.b", 8), ("2.a", 16), ("2.b", 16), ("3.a", 32), ("3.b", 32))
"""Activations of a child of nf_resnet8's size."""
POLL_SECONDS = 0.05

Fate = Literal["result", "fail", "vanish"]


class SimulatedWorkers:
    """Workers that each have a job or wait for one."""

    def __init__(self, connection: redis.Redis, options: argparse.Namespace) -> None:
        self._connection = connection
        self._options = options
        self._rng = random.Random(os.getpid())
        self._matcher = Matcher(MACHINE, digest=lambda _: "simulated", allow_user_code=False)
        self._queues: list[str] = []
        self._idle = [f"simulated-{os.getpid()}-{number}" for number in range(options.workers)]
        self._busy: list[tuple[float, str, AllowedJob, Fate]] = []
        """By the time at which each ends: the worker's name, its job and what becomes of it."""
        self._born = utcformat(datetime.now(UTC))

    def work(self) -> None:
        """Until it is killed."""
        heartbeat = 0.0
        while True:
            now = time.monotonic()
            if now >= heartbeat:
                self._look()
                heartbeat = now + HEARTBEAT_SECONDS
            while self._busy and self._busy[0][0] <= now:
                self._end(*heapq.heappop(self._busy)[1:])
            for queue in self._queues:
                self._take(queue)
            time.sleep(POLL_SECONDS)

    def _look(self) -> None:
        """Every two seconds: look for runs, say that all are there, and that each holds its job."""
        self._queues = [
            rq.Queue(name, connection=self._connection).key for name in self._matcher.look(self._connection)
        ]
        with self._connection.pipeline(transaction=False) as pipe:
            for name in self._idle:
                self._say(pipe, name, {"state": "idle"})
            for _, name, job, fate in self._busy:
                self._say(pipe, name, {"state": "busy", "doing": job.shown})
                if fate != "vanish":
                    pipe.set(lease_key(job.id), name, ex=LEASE_SECONDS)
            pipe.execute()

    def _say(self, pipe: "redis.client.Pipeline", name: str, doing: dict[str, str]) -> None:
        key = f"{rq.Worker.redis_worker_namespace_prefix}{name}"
        facts: dict[Any, Any] = {  # redis-py takes keys of bytes too, and says so
            "birth": self._born,
            "last_heartbeat": utcformat(datetime.now(UTC)),
            "queues": ",".join(self._queues),
            "hostname": "simulated",
            FIELD: json.dumps({"environment": str(MACHINE), "versions": {}, "idles": {}}),
        }
        pipe.hset(key, mapping=facts | doing)
        pipe.expire(key, ALIVE_SECONDS)
        pipe.sadd(REDIS_WORKER_KEYS, key)

    def _take(self, queue: str) -> None:
        """Give every idle worker a job of the queue, as far as there are any."""
        taken: Any = self._connection.lpop(queue, len(self._idle)) if self._idle else None
        ids = [raw.decode() for raw in taken or []]
        with self._connection.pipeline(transaction=False) as pipe:
            for job_id, name in zip(ids, reversed(self._idle), strict=False):
                pipe.set(lease_key(job_id), name, ex=LEASE_SECONDS)
            pipe.execute()
        for job_id in ids:
            try:
                job = AllowedJob.fetch(job_id, connection=self._connection, serializer=SERIALIZER)
            except NoSuchJobError:
                continue
            seconds = self._rng.lognormvariate(math.log(self._options.seconds) - 0.125, 0.5)
            heapq.heappush(self._busy, (time.monotonic() + seconds, self._idle.pop(), job, self._fate()))

    def _fate(self) -> Fate:
        fates: Sequence[Fate] = ("result", "fail", "vanish")
        return self._rng.choices(fates, (1, self._options.failures, self._options.deaths))[0]

    def _end(self, name: str, job: AllowedJob, fate: Fate) -> None:
        self._idle.append(name)
        if fate == "vanish":
            return  # its lease has run out, or will
        if fate == "fail":
            job.notice("simulated: out of memory")
        else:
            publish(self._connection, evaluation_of(Job.from_json(json.dumps(job.args[0])), self._options.diverging))
        self._connection.delete(lease_key(job.id))
        self._connection.expire(job.key, FINISHED_JOB_SECONDS)


def evaluation_of(job: Job, diverging: float) -> Evaluation:
    """What a training of this job would say, the same whoever asks."""
    rng = random.Random(f"{job.seed} result")
    if rng.random() < diverging:
        return Evaluation(run=job.run, evaluation=job.evaluation, outcome=Outcome.DIVERGED, reason="made up", steps=30)
    quality = int.from_bytes(hashlib.sha256(str(job.seed).encode()).digest()[:4], "big") / 2**32
    accuracy = min(max(0.1 + 0.75 * math.sqrt(quality) + rng.gauss(0, 0.005), 0.0), 1.0)
    layers = tuple(
        LayerRecord(
            name=name,
            channels=channels,
            betas={"beta": tuple(round(rng.gauss(1, 0.3), 6) for _ in range(channels))},
            histogram=tuple(rng.randrange(100_000) for _ in range(40)),
        )
        for name, channels in LAYERS
    )
    return Evaluation(
        run=job.run,
        evaluation=job.evaluation,
        outcome=Outcome.TRAINED,
        val_accuracy=accuracy,
        val_loss=1 - accuracy,
        steps=job.recipe.steps,
        seconds=5.0,
        parameters=20_000,
        layers=layers,
        worker="simulated",
        environment=str(MACHINE),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the server, without a password")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2.0, help="mean duration of a training")
    parser.add_argument("--diverging", type=float, default=0.1, help="share of functions that diverge")
    parser.add_argument("--failures", type=float, default=0.002, help="attempts that fail, for each that does not")
    parser.add_argument("--deaths", type=float, default=0.0001, help="workers that vanish with a job, likewise")
    options = parser.parse_args()
    SimulatedWorkers(connect(Address(options.url)), options).work()


if __name__ == "__main__":
    main()
