"""What every Evaluator promises the search, held by each of them: in process, and on real RQ workers."""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

import actsearch_workers
from actsearch.errors import RunPausedError
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch_workers.connection import connect
from actsearch_workers.in_process import InProcessEvaluator
from actsearch_workers.jobs import WorkerSettings
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from tests.integration import fake_training
from tests.integration.conftest import PATIENCE_SECONDS, fake_workers
from tests.integration.fake_training import expected


class Evaluator(Protocol):
    """The search's port, as actsearch_controller declares it."""

    def submit(self, jobs: list[Job], /) -> None: ...
    def collect(self, timeout_seconds: float, /) -> list[Evaluation]: ...
    def release(self, evaluations: list[Evaluation], /) -> None: ...


JobMaker = Callable[..., Job]

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def workers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server with two workers, shared by the tests here: each test is a run of its own on it."""
    folder = tmp_path_factory.mktemp("shared")
    with LocalServer(folder / "redis") as server, fake_workers(server, folder / "logs", "one", "two", torch=True):
        yield server


@pytest.fixture
def job(request: pytest.FixtureRequest) -> JobMaker:
    return partial(fake_training.job, run=request.node.name)


@pytest.fixture(params=["in_process", "rq"])
def evaluator(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evaluator]:
    if request.param == "in_process":
        monkeypatch.setitem(sys.modules, "actsearch_workers.training", fake_training)
        monkeypatch.setattr(actsearch_workers, "training", fake_training, raising=False)
        monkeypatch.setattr(WorkerSettings, "digest", lambda self, dataset: fake_training.DIGEST)
        yield InProcessEvaluator(tmp_path)
    else:
        connection = connect(request.getfixturevalue("workers_server").address)
        yield RqEvaluator(connection, fake_training.queued(request.node.name), max_retries=2)
        connection.close()


def collect_all(evaluator: Evaluator, number: int, seconds: float = PATIENCE_SECONDS) -> dict[str, Evaluation]:
    """The evaluations that arrive until there are `number` of them; fails when one arrives twice."""
    found: dict[str, Evaluation] = {}
    deadline = time.monotonic() + seconds
    while len(found) < number:
        assert time.monotonic() < deadline, f"{len(found)} of {number} evaluations after {seconds} s"
        for evaluation in evaluator.collect(1.0):
            assert evaluation.evaluation not in found, "handed out twice"
            found[evaluation.evaluation] = evaluation
    return found


def test_results_are_the_trainings_with_worker_and_environment_written_in(evaluator: Evaluator, job: JobMaker) -> None:
    jobs = [job(n) for n in range(8)]
    evaluator.submit(jobs)
    found = collect_all(evaluator, 8)
    for one in jobs:
        evaluation = found[one.evaluation]
        assert evaluation.worker in {"in-process", "one", "two"}
        assert "torch" in evaluation.environment
        assert evaluation.model_copy(update={"worker": "", "environment": ""}) == expected(one)
    assert len({e.environment for e in found.values()}) == 1
    evaluator.release(list(found.values()))
    assert evaluator.collect(0.1) == []


def test_a_job_submitted_again_and_again_runs_once(evaluator: Evaluator, job: JobMaker, tmp_path: Path) -> None:
    counted = [job(n, f"count {tmp_path}/runs") for n in range(3)]
    evaluator.submit(counted)
    evaluator.submit(counted)
    found = collect_all(evaluator, 3)
    evaluator.submit(counted)
    assert evaluator.collect(1.0) == []
    evaluator.release(list(found.values()))
    assert sorted((tmp_path / "runs").read_text().split()) == [one.evaluation for one in counted]


def test_a_diverging_formula_is_an_outcome_not_an_exception(evaluator: Evaluator, job: JobMaker) -> None:
    evaluator.submit([job(1, "diverge")])
    assert collect_all(evaluator, 1)[job(1).evaluation].outcome is Outcome.DIVERGED


def test_a_job_that_no_worker_can_run_pauses_the_run_at_once(evaluator: Evaluator, job: JobMaker) -> None:
    evaluator.submit([job(1, "missing")])
    with pytest.raises(RunPausedError, match=r"0{15}1 .*no data set 'missing' on this machine"):
        collect_all(evaluator, 1)


def test_a_fault_that_stays_pauses_the_run_with_job_and_error(evaluator: Evaluator, job: JobMaker) -> None:
    evaluator.submit([job(1, "raise disk-full")])
    with pytest.raises(RunPausedError, match=r"0{15}1 \(identity sigmoid multiply\).* failed.*disk-full"):
        collect_all(evaluator, 1)


def test_what_was_done_before_a_pause_is_not_lost(evaluator: Evaluator, job: JobMaker) -> None:
    evaluator.submit([job(1), job(2, "missing"), job(3)])
    found: dict[str, Evaluation] = {}
    paused = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (paused and job(1).evaluation in found):
        assert time.monotonic() < deadline
        try:
            found |= {e.evaluation: e for e in evaluator.collect(0.5)}
        except RunPausedError:
            paused = True
    assert found[job(1).evaluation].val_accuracy == 0.01


def test_collect_waits_no_longer_than_asked(evaluator: Evaluator) -> None:
    started = time.monotonic()
    assert evaluator.collect(0.3) == []
    assert time.monotonic() - started < 20, "it does not wait for a result"
