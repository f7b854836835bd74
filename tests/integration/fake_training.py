"""A training that obeys the job: it stands in for the real one where a test is about processes, not about learning.

The job's data set says what to do, as in `sleep 0.5` or `raise OSError`; `once FILE …` does it only the first time.
"""

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from actsearch.config import ChildSettings, Recipe
from actsearch.errors import DataMissingError
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch.formula import Formula
from actsearch_workers.environment import Environment
from actsearch_workers.matching import ENVIRONMENTS_KEY, Wanted, queue_name
from actsearch_workers.run_queue import QueuedRun

RUN = "a run: named*by [people]"
DIGEST = "ab" * 32
"""Of every data set that the fake workers have."""
ENVIRONMENT = Environment(torch="2", numpy="2", device="an abacus", activations="hand", data=DIGEST[:16])
QUEUE_KEY = f"rq:queue:{queue_name(ENVIRONMENT)}"


def queued(run: str = RUN, **wanted: Any) -> QueuedRun:
    """A run on the queue, whose id is its name."""
    return QueuedRun(id=run, name=run, wanted=Wanted(**{"datasets": ("nothing",), **wanted}))


QUEUED = queued()


def bind(connection: redis.Redis, run: str = RUN) -> None:
    """Bind a run to ENVIRONMENT, as a worker would that then never takes a job."""
    connection.hset(ENVIRONMENTS_KEY, run, ENVIRONMENT.model_dump_json())


def job(number: int, what: str = "", *, timeout_seconds: int = 3600, run: str = RUN) -> Job:
    """Job `number` of a run, that does what it says."""
    return Job(
        run=run,
        evaluation=f"{number:016x}",
        tokens=("identity", "sigmoid", "multiply"),
        seed=number,
        backend="symbolic",
        child=ChildSettings(),
        recipe=Recipe(),
        dataset=what or "nothing",
        max_operations=400,
        timeout_seconds=timeout_seconds,
    )


def expected(job: Job) -> Evaluation:
    """What the training of a job says, but for who ran it."""
    return Evaluation(
        run=job.run,
        evaluation=job.evaluation,
        outcome=Outcome.DIVERGED if job.dataset == "diverge" else Outcome.TRAINED,
        val_accuracy=None if job.dataset == "diverge" else (job.seed % 100) / 100,
    )


def train(
    job: Job, *, device: Any, data_dir: Path, allow_user_code: bool, on_step: Callable[[int], None]
) -> Evaluation:
    Formula.from_tokens(job.tokens)  # as the real one: a job of other tokens is nobody's
    what = job.dataset.split()
    if what[0] == "once":
        first = Path(what[1])
        what = ["nothing"] if first.exists() else what[2:]
        first.touch()
    match what:
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["raise", text]:
            raise OSError(text)
        case ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["crash", step]:
            on_step(int(step))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.kill(os.getpid(), signal.SIGSEGV)
        case ["pid", file, seconds]:
            Path(file).write_text(f"{os.getpid()} {os.getppid()}")
            time.sleep(float(seconds))
        case ["missing"]:
            raise DataMissingError("no data set 'missing' on this machine")
        case ["count", file]:
            with Path(file).open("a") as lines:
                lines.write(f"{job.evaluation}\n")
    return expected(job)
