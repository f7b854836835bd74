"""What travels between a search and its workers, and the one function that a worker runs.

A job goes out as RQ's hash with JSON inside (actsearch_workers.allowed_job), its result comes back under the run's own
keys: RQ's results expire, and a controller may be away for days. The first result of an evaluation stands; another one
says the same. Everything read here is taken as if somebody hostile had written it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from pydantic import Field
from rq.serializers import JSONSerializer

from actsearch.config import Settings
from actsearch.errors import ConfigError
from actsearch.evaluation import MAX_BYTES, Evaluation, Job
from actsearch_workers.data import folder_of, load
from actsearch_workers.environment import Environment, environment
from actsearch_workers.texts import Line

QUEUE = "actsearch"
"""Name of the RQ queue that every worker serves, and that is always empty; those with jobs have a fingerprint added."""
FUNCTION = "actsearch_workers.jobs.evaluate"
"""The only function that a job may name."""
SERIALIZER = JSONSerializer
"""RQ's default would be pickle, by which a job runs anything."""
FINISHED_JOB_SECONDS = 60
"""How long RQ keeps a job's hash after its end; the result is under our own key, and stays."""
MAX_ERROR = 500
"""Characters of an error that travel."""
INBOX_SECONDS = 24 * 3600
"""How long a run's inbox is kept after its last line, where no controller reads it."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker brings to every job; none of it comes from the wire."""

    name: str
    device: str
    """"cpu" or "cuda:N"."""
    data_dir: Path
    allow_user_code: bool = False
    """Whether jobs may name the user's own `module:function`, which runs with this worker's rights."""
    data_roots: tuple[Path, ...] = ()
    """Folders that jobs may name as data sets, or folders below them, as they may name those in `data_dir`."""
    machine: Environment | None = None
    """What it runs on, without data; None: found out when it is needed."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of data sets, as far as they were needed."""
    on_step: Callable[[int], None] = lambda step: None
    """Told the number of each step before it is done: what a process that dies can say no more."""

    def digest(self, dataset: str) -> str:
        """The digest of a data set that is loaded here; raises as `load`."""
        return load(dataset, data_dir=self.data_dir, allow_user_code=self.allow_user_code).digest

    def check_allowed(self, dataset: str) -> None:
        """`ConfigError` for a data set in a folder that this worker opens to nobody."""
        folder, open_to_jobs = folder_of(dataset), (self.data_dir, *self.data_roots)
        if folder is not None and not any(folder.is_relative_to(root.resolve()) for root in open_to_jobs):
            raise ConfigError(f"dataset {dataset!r}: a worker reads that folder only with --data-root {folder}")


WORKER: ContextVar[WorkerSettings] = ContextVar("worker")
"""The worker that this process is; set once, by the entry point that makes it one."""


class Notice(Settings):
    """A line in a run's inbox: the evaluation has a result, or an attempt at it failed."""

    evaluation: str = Field(max_length=64)
    """Empty: a worker has bound the run to its environment."""
    attempt: int = 0
    error: Line = Field("", max_length=MAX_ERROR)
    """What went wrong; empty for a result."""
    hopeless: bool = False
    """Whether another attempt would fail in the same way."""
    handed_back: bool = False
    """Whether the worker was told to end and gave the job back: nobody's failure."""
    died_at: int | None = Field(None, ge=-1)
    """Step at which the training's process died by its own doing, while its worker lives; -1: before the first."""


def results_key(run: str) -> str:
    """Hash of evaluation to the JSON of its Evaluation; each stays until the store has it."""
    return f"actsearch:results:{run}"


def inbox_key(run: str) -> str:
    """List of Notices, by which the controller wakes up. Losing one costs seconds, never a result."""
    return f"actsearch:inbox:{run}"


def tell(connection: redis.Redis, run: str, notice: Notice) -> None:
    """Add a line to a run's inbox, by a client or in a pipeline."""
    connection.rpush(inbox_key(run), notice.model_dump_json())
    connection.expire(inbox_key(run), INBOX_SECONDS)


def attempts_key(run: str) -> str:
    """Hash of evaluation to the number of attempts that came to nothing: failed, lost or handed back."""
    return f"actsearch:attempts:{run}"


def deaths_key(run: str) -> str:
    """Hash of evaluation to a JSON object: at which step its process died how often."""
    return f"actsearch:deaths:{run}"


def lease_key(job_id: str) -> str:
    """String with the worker's name; lives while that worker says that it holds the job."""
    return f"actsearch:lease:{job_id}"


def job_id(run: str, evaluation: str, attempt: int) -> str:
    """RQ's id of one attempt: letters, digits and dashes, the same whoever asks."""
    digest = hashlib.sha256(json.dumps([run, evaluation]).encode()).hexdigest()[:32]
    return f"{digest}-{attempt}"


def evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """Train the child that a job describes: JSON of a Job in, JSON of an Evaluation out.

    Raises:
        CallerError: a job that no attempt can run: not a Job, an unknown name, data that is not here.
    """
    checked, worker = Job.from_json(json.dumps(job)), WORKER.get()
    worker.check_allowed(checked.dataset)
    return run_job(checked, worker).model_dump(mode="json")


def run_job(job: Job, worker: WorkerSettings) -> Evaluation:
    """The evaluation of a job in this process, with the worker and its environment written in."""
    import torch

    from actsearch_workers import training  # pulls in torch and timm, which a controller does without

    evaluation: Evaluation = training.train(
        job,
        device=torch.device(worker.device),
        data_dir=worker.data_dir,
        allow_user_code=worker.allow_user_code,
        on_step=worker.on_step,
    )
    here = (worker.machine or environment(worker.device)).on(worker.digests.get(job.dataset, ""))
    return evaluation.model_copy(update={"worker": worker.name, "environment": str(here)})


def publish(connection: redis.Redis, evaluation: Evaluation) -> None:
    """Put a result under its run, unless there is one, and wake the controller up."""
    text = evaluation.to_json()
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(f"an Evaluation has at most {MAX_BYTES} bytes, that of {evaluation.evaluation} {len(text)}")
    with connection.pipeline(transaction=True) as pipe:
        pipe.hsetnx(results_key(evaluation.run), evaluation.evaluation, text)
        tell(pipe, evaluation.run, Notice(evaluation=evaluation.evaluation))
        pipe.execute()
