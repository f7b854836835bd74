"""A training that obeys the job: it stands in for the real one where a test is about processes, not about learning.

The job's data set says what to do, as in `sleep 0.5` or `raise OSError`; `once FILE …` does it only the first time.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from actsearch.config import ChildSettings, Recipe
from actsearch.errors import DataMissingError
from actsearch.evaluation import Evaluation, Job, Outcome

RUN = "a run: named*by [people]"


def job(number: int, what: str = "", *, timeout_seconds: int = 60, run: str = RUN) -> Job:
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


def train(job: Job, *, device: Any, data_dir: Path, allow_user_code: bool) -> Evaluation:
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
        case ["pid", file, seconds]:
            Path(file).write_text(f"{os.getpid()} {os.getppid()}")
            time.sleep(float(seconds))
        case ["missing"]:
            raise DataMissingError("no data set 'missing' on this machine")
        case ["count", file]:
            with Path(file).open("a") as lines:
                lines.write(f"{job.evaluation}\n")
    return expected(job)
