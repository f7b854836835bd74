"""The Evaluator port without queue or workers: each job is trained here and now. For tests and from Python."""

import time
from collections.abc import Sequence
from pathlib import Path

from actsearch.errors import RunPausedError
from actsearch.evaluation import Evaluation, Job
from actsearch_workers.jobs import WorkerSettings, run_job


class InProcessEvaluator:
    """Trains jobs in this process, in the order submitted.

    A failure of the training's surroundings has nobody else to go to here: it pauses the run at once.

    Args:
        data_dir: where data sets are.
        device: "cpu" or "cuda:N".
        allow_user_code: whether jobs may import the user's `module:function`.
    """

    def __init__(self, data_dir: Path, *, device: str = "cpu", allow_user_code: bool = False) -> None:
        self._digests: dict[str, str] = {}
        self._worker = WorkerSettings(
            name="in-process",
            device=device,
            data_dir=data_dir,
            allow_user_code=allow_user_code,
            digests=self._digests,
        )
        self._waiting: dict[str, Job] = {}
        self._done: set[str] = set()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Note jobs down. One that waits, or was done and not released, is left as it is."""
        for job in jobs:
            if job.evaluation not in self._done:
                self._waiting.setdefault(job.evaluation, job)

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        """Train at least one waiting job, and further ones until the timeout.

        Raises:
            RunPausedError: the training raised.
        """
        deadline = time.monotonic() + timeout_seconds
        evaluations: list[Evaluation] = []
        while self._waiting and not (evaluations and time.monotonic() >= deadline):
            key, job = next(iter(self._waiting.items()))
            try:
                if job.dataset not in self._digests:
                    self._digests[job.dataset] = self._worker.digest(job.dataset)
                evaluations.append(run_job(job, self._worker))
            except Exception as err:
                if evaluations:
                    break  # hand these out first; the next call meets the failure again
                raise RunPausedError(f"evaluation {key} ({' '.join(job.tokens)}) failed: {err}") from err
            del self._waiting[key]
            self._done.add(key)
        return evaluations

    def release(self, evaluations: Sequence[Evaluation]) -> None:
        """Forget evaluations that the store holds."""
        self._done.difference_update(e.evaluation for e in evaluations)
