"""How far one controller goes: thousands of simulated workers against the real controller, server and store.

Only the training is made up. A simulated worker takes jobs from the real queue, holds the real leases and publishes
evaluations of real size; rewards are a hash of the job's seed, which itself hashes the function's fingerprint, plus
noise; durations are lognormal; some functions diverge, some workers fail or vanish with their job. Identity, store,
queue and trace are the search's own. Killed, it goes on where it was, when called again with the same folder.

    python benchmarks/scaling.py --evaluations 2000 scaling-2000
    python benchmarks/scaling.py --evaluations 100000 --store postgresql://USER@HOST/DATABASE scaling-100000
"""

import argparse
import cProfile
import hashlib
import heapq
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
import rq
from rq.exceptions import NoSuchJobError

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Job, LayerRecord, Outcome
from actsearch.runs import RunFolder, create_run
from actsearch.store.address import find_store
from actsearch_controller.search import resume
from actsearch_workers.connection import Address, connect
from actsearch_workers.jobs import FINISHED_JOB_SECONDS, QUEUE, SERIALIZER, AllowedJob, lease_key, publish
from actsearch_workers.processes import start, stop
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from actsearch_workers.worker import HEARTBEAT_SECONDS, LEASE_SECONDS

REPORT_EVERY = 500
"""Results between two lines of measurements."""
LAYERS = (("stem", 8), ("1.a", 8), ("1.b", 8), ("2.a", 16), ("2.b", 16), ("3.a", 32), ("3.b", 32))
"""Activations of a child of nf_resnet8's size."""


# --- the workers -----------------------------------------------------------------------------------------------------


class SimulatedWorkers:
    """So many workers in one process, each with a job or waiting for one."""

    def __init__(self, connection: redis.Redis, options: argparse.Namespace) -> None:
        self._connection = connection
        self._queue = rq.Queue(QUEUE, connection=connection, serializer=SERIALIZER, job_class=AllowedJob)
        self._options = options
        self._rng = random.Random(os.getpid())
        self._busy: list[tuple[float, str, AllowedJob, str]] = []
        self._heartbeat = 0.0

    def work(self) -> None:
        """Until it is killed."""
        while True:
            self._take()
            now = time.monotonic()
            while self._busy and self._busy[0][0] <= now:
                self._end(*heapq.heappop(self._busy)[1:])
            if now >= self._heartbeat:
                self._hold([job.id for _, _, job, fate in self._busy if fate != "vanish"])
                self._heartbeat = now + HEARTBEAT_SECONDS
            time.sleep(0.005)

    def _take(self) -> None:
        free = self._options.workers - len(self._busy)
        ids = self._connection.lpop(self._queue.key, free) if free else None
        for raw in ids or []:
            try:
                job = AllowedJob.fetch(raw.decode(), connection=self._connection, serializer=SERIALIZER)
            except NoSuchJobError:
                continue
            fate = self._rng.choices(
                ("result", "fail", "vanish"),
                (1, self._options.failures, self._options.deaths),
            )[0]
            seconds = self._rng.lognormvariate(math.log(self._options.seconds) - 0.125, 0.5)
            heapq.heappush(self._busy, (time.monotonic() + seconds, job.id, job, fate))
        self._hold([raw.decode() for raw in ids or []])

    def _hold(self, ids: list[str]) -> None:
        with self._connection.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.set(lease_key(job_id), "simulated", ex=LEASE_SECONDS)
            pipe.execute()

    def _end(self, _: str, job: AllowedJob, fate: str) -> None:
        if fate == "fail":
            job.notice("simulated: out of memory")
        elif fate == "result":
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
        environment="simulated",
    )


# --- the measurements ------------------------------------------------------------------------------------------------


class Meter:
    """Writes down how the controller's process does, every REPORT_EVERY results."""

    def __init__(self, file: Path, connection: redis.Redis) -> None:
        self._file = file
        self._connection = connection
        self._next = 0
        self._started = time.monotonic()

    def __call__(self, progress: Any) -> None:
        if progress.told < self._next and progress.told < progress.budget:
            return
        self._next = progress.told - progress.told % REPORT_EVERY + REPORT_EVERY
        memory = self._connection.info("memory")
        traffic = self._connection.info("stats")
        row = {
            "told": progress.told,
            "asked": progress.asked,
            "seconds": round(time.monotonic() - self._started, 2),
            "controller_cpu": round(cpu(resource.RUSAGE_SELF), 2),
            "identities_cpu": round(identities_cpu(), 2),
            "rss_mb": round(rss_mb(), 1),
            "redis_mb": round(memory["used_memory"] / 1e6, 1),
            "redis_traffic_mb": round((traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]) / 1e6, 1),
        }
        with self._file.open("a", encoding="ascii") as lines:
            lines.write(json.dumps(row) + "\n")
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def cpu(who: int) -> float:
    """User and system seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def identities_cpu() -> float:
    """User and system seconds of the processes that compute identities for this one."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and "actsearch_controller.identities" in command:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a call in this process."""
    wall, used = time.monotonic(), cpu(resource.RUSAGE_SELF)
    call()
    return round(time.monotonic() - wall, 3), round(cpu(resource.RUSAGE_SELF) - used, 3)


def aftermath(folder: RunFolder) -> dict[str, Any]:
    """What those who come later wait for: opening the store, the query and the command of `status`."""
    from actsearch_cli.status import document
    from actsearch_controller.pipeline import Search

    def reopen() -> None:
        with folder.open() as (store, name):
            Search(store, name)

    name = ["--store", os.environ["ACTSEARCH_STORE_URL"]] if "ACTSEARCH_STORE_URL" in os.environ else []
    command = [sys.executable, "-m", "actsearch_cli.main", "status", folder.name, "--runs-dir", str(folder.path.parent)]
    before = cpu(resource.RUSAGE_CHILDREN)
    status = timed(lambda: subprocess.run([*command, *name], check=True, stdout=subprocess.DEVNULL))
    return {
        "status query, wall and CPU seconds": timed(lambda: document(folder)),
        "status command, wall and CPU seconds": (status[0], round(cpu(resource.RUSAGE_CHILDREN) - before, 3)),
        "search made anew, wall and CPU seconds": timed(reopen),
        "store.sqlite, MB": round(folder.store.stat().st_size / 1e6, 1) if folder.store.is_file() else None,
    }


# --- the entry points ------------------------------------------------------------------------------------------------


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the run is kept; an existing one goes on")
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--lag", type=int, default=4)
    parser.add_argument("--units", type=int, default=2)
    parser.add_argument("--controller", default="random")
    parser.add_argument("--seconds", type=float, default=5.0, help="mean duration of a training")
    parser.add_argument("--diverging", type=float, default=0.1, help="share of functions that diverge")
    parser.add_argument("--failures", type=float, default=0.002, help="attempts that fail, for each that does not")
    parser.add_argument("--deaths", type=float, default=0.001, help="workers that vanish with a job, likewise")
    parser.add_argument("--store", help="PostgreSQL database, without a password")
    parser.add_argument("--profile", type=Path, help="write cProfile's numbers of the controller's process here")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.serve:
        SimulatedWorkers(connect(Address(options.serve)), options).work()
        return
    config = RunConfig.parse({
        "controller": options.controller,
        "space": {"units": options.units},
        "batch": options.batch,
        "lag": options.lag,
        "evaluations": options.evaluations,
    })  # fmt: skip
    path = options.folder.resolve()
    folder = RunFolder(path, find_store(options.store, os.environ))
    if not folder.config.is_file():
        folder = create_run(path.parent, path.name, config, database=folder.database)
    with ExitStack() as stack:
        stack.enter_context(folder.lock())
        server = stack.enter_context(LocalServer(folder.redis))
        log = folder.logs / "workers.log"
        command = [sys.executable, __file__, *sys.argv[1:], "--serve", server.address.url]
        workers = start(command, log=log, death_signal=signal.SIGKILL)
        stack.callback(stop, [workers], 1.0)
        connection = connect(server.address)
        store, name = stack.enter_context(folder.open())
        meter = Meter(folder.path / "measurements.jsonl", connection)
        profile = cProfile.Profile() if options.profile else None
        evaluator = RqEvaluator(connection, name)
        drive = lambda: resume(store, name, evaluator, on_progress=meter)  # noqa: E731
        profile.runcall(drive) if profile else drive()
        if profile:
            profile.dump_stats(options.profile)
        print(f"tried again: {evaluator.status().retries}, trace {store.run(name).trace}")
    for what, value in aftermath(folder).items():
        print(f"{what}: {value}")


if __name__ == "__main__":
    main()
