"""Quarantine, handing back, environments, and runs of one name: what the queue does besides surviving faults."""

from pathlib import Path
from threading import Timer

import pytest
import redis

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.store import Store
from actsearch_workers import pool
from actsearch_workers.attempts import MAX_DEATHS
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import Notice, attempts_key, deaths_key, inbox_key, job_id, publish, results_key
from actsearch_workers.matching import ENVIRONMENTS_KEY, RUNS_KEY, Wanted, bound_environment
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.run_queue import QueuedRun
from tests.integration.conftest import PATIENCE_SECONDS, WorkerStarter, eventually, until_bound
from tests.integration.fake_training import QUEUE_KEY, QUEUED, RUN, bind, expected, job
from tests.integration.test_queue_contract import collect_all

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


def say(connection: redis.Redis, attempt: int, error: str = "killed by SIGSEGV", **facts: object) -> None:
    notice = Notice.parse({"evaluation": job(1).evaluation, "attempt": attempt, "error": error, **facts})
    connection.rpush(inbox_key(RUN), notice.model_dump_json())


def collect(evaluator: RqEvaluator) -> list[Evaluation]:
    return eventually(lambda: evaluator.collect(0.5))


def test_five_deaths_at_one_step_are_a_quarantine(connection: redis.Redis) -> None:
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    steps = [7, 7, 8, 7, 7, 8, None, 7]
    for attempt, step in enumerate(steps[:4]):
        say(connection, attempt, died_at=step)
    assert evaluator.collect(0.2) == []
    again = RqEvaluator(connection, QUEUED)  # deaths outlive the controller
    again.submit([job(1)])
    for attempt, step in enumerate(steps[4:], start=4):
        assert again.collect(0.05) == []
        say(connection, attempt, died_at=step)
    (evaluation,) = collect(again)
    assert evaluation == Evaluation(
        run=RUN,
        evaluation=job(1).evaluation,
        outcome=Outcome.QUARANTINED,
        reason="its process died 5 times at step 7: killed by SIGSEGV",
    )
    assert evaluation.reward == 0.0
    again.release([evaluation])
    assert connection.hlen(deaths_key(RUN)) == connection.hlen(results_key(RUN)) == 0


@pytest.mark.parametrize("foreign", ["abc", "-1", "1.5", "9" * 5000, "[]", '{"7": "often"}', "[" * 100_000, b"\xff"])
def test_books_that_are_not_ours_count_as_empty(foreign: str | bytes, connection: redis.Redis) -> None:
    bind(connection)
    for key in (attempts_key(RUN), deaths_key(RUN)):
        connection.hset(key, job(1).evaluation, foreign)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    assert evaluator.status().retries == 0
    say(connection, 0, died_at=7)
    assert evaluator.collect(0.1) == []
    assert evaluator.status().retries == 1
    assert connection.hget(attempts_key(RUN), job(1).evaluation) == b"1"
    assert connection.hget(deaths_key(RUN), job(1).evaluation) == b'{"7": 1}'


def test_a_result_that_came_before_a_quarantine_stands(connection: redis.Redis) -> None:
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    publish(connection, expected(job(1)))
    for attempt in range(MAX_DEATHS):
        say(connection, attempt, died_at=3)
    assert collect(evaluator)[0].outcome is Outcome.TRAINED


def test_what_is_handed_back_is_nobodys_failure(connection: redis.Redis) -> None:
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED, max_retries=0)
    evaluator.submit([job(1)])
    for attempt in range(3):
        say(connection, attempt, "handed back", handed_back=True)
        assert evaluator.collect(0.05) == []
    assert evaluator.status().retries == 3, "tried again, which `status` and the metrics do not call failed"
    waiting = connection.lrange(QUEUE_KEY, 0, -1)
    assert job_id(RUN, job(1).evaluation, 3).encode() in waiting


def test_results_that_come_at_short_intervals_are_handed_over_together(connection: redis.Redis) -> None:
    """One at a time costs the controller most of its time once there are a hundred a second."""
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(number) for number in range(1, 6)])
    publish(connection, expected(job(1)))
    assert [e.evaluation for e in collect(evaluator)] == [job(1).evaluation], "the first waits for no other"
    timers = [Timer(0.02 * number, publish, (connection, expected(job(number)))) for number in (2, 3)]
    for timer in timers:
        timer.start()
    assert {e.evaluation for e in evaluator.collect(2)} == {job(2).evaluation, job(3).evaluation}
    publish(connection, expected(job(4)))
    assert len(evaluator.collect(0)) == 1, "who does not want to wait gets what is there"


def test_runs_of_one_name_do_not_read_each_others_results(connection: redis.Redis, tmp_path: Path) -> None:
    ids = []
    for folder in ("mine", "yours"):
        with Store.open(tmp_path / f"{folder}.sqlite") as store:
            store.create_run("run1", RunConfig(), command=f"actsearch search {folder}", versions={})
            ids.append(store.run("run1").id)
            assert store.run("run1").id == ids[-1], "the same whenever it is asked"
    assert ids[0] != ids[1]
    assert all(one.startswith("run1-") for one in ids)
    for one in ids:
        bind(connection, one)
    mine, yours = (
        RqEvaluator(connection, QueuedRun(id=one, name="run1", wanted=Wanted(datasets=("x",)))) for one in ids
    )
    for evaluator in (mine, yours):
        evaluator.submit([job(1, run="run1")])
    assert connection.llen(QUEUE_KEY) == 2
    publish(connection, expected(job(1, run=ids[0])))
    assert yours.collect(0.2) == []
    (evaluation,) = collect(mine)
    assert evaluation == expected(job(1, run="run1")), "in the store's words again"
    mine.release([evaluation])
    assert yours.collect(0.2) == []


def test_a_run_is_bound_once_and_keeps_its_environment(connection: redis.Redis) -> None:
    bound: list[Environment] = []
    evaluator = RqEvaluator(connection, QUEUED, on_environment=bound.append)
    evaluator.submit([job(1)])
    assert evaluator.collect(0.1) == []
    assert connection.llen(QUEUE_KEY) == 0, "jobs wait for a worker that binds the run"
    assert evaluator.status().environment is None
    bind(connection)
    until_bound(evaluator)
    assert connection.llen(QUEUE_KEY) == 1
    (environment,) = bound
    assert evaluator.status().environment == str(environment)
    connection.delete(RUNS_KEY, ENVIRONMENTS_KEY)  # as where a server has lost its last second
    eventually(lambda: evaluator.collect(0.1) or connection.hexists(ENVIRONMENTS_KEY, RUN))
    assert bound_environment(connection, RUN, QUEUED.wanted) == environment
    assert connection.hexists(RUNS_KEY, RUN)


@pytest.mark.slow
def test_a_function_that_crashes_its_process_is_quarantined_by_a_real_worker(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    """And its worker lives on, shows up with its versions, and a killed child of another function is no death."""
    start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1, "crash 7"), job(2, f"once {tmp_path}/first die")])
    found = collect_all(evaluator, 2)
    assert found[job(1).evaluation].outcome is Outcome.QUARANTINED
    assert "5 times at step 7: the training process was killed by SIGSEGV" in found[job(1).evaluation].reason
    assert found[job(2).evaluation].outcome is Outcome.TRAINED
    (worker,) = evaluator.status().workers
    assert worker.versions["torch"]
    assert connection.hgetall(deaths_key(RUN)) == {job(1).evaluation.encode(): b'{"7": 5}'}


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_hands_a_long_child_back(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STOP_SECONDS", PATIENCE_SECONDS)
    first = start_workers("one", more=["1"])
    evaluator = RqEvaluator(connection, QUEUED, max_retries=0)
    evaluator.submit([job(1, f"once {tmp_path}/first sleep 1800")])
    until_bound(evaluator)
    eventually((tmp_path / "first").exists)
    first.stop()
    start_workers("two")
    (evaluation,) = collect(evaluator)
    assert evaluation.worker == "two", "and no failure was counted, of which one would have paused the run"


@pytest.mark.slow
def test_a_worker_with_other_data_idles_and_says_so(connection: redis.Redis, start_workers: WorkerStarter) -> None:
    start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    assert collect(evaluator)[0].worker == "one"
    start_workers("other", more=["25", "cd" * 32])
    eventually(lambda: len(evaluator.status().workers) == 2 and evaluator.status().workers[1].idles)
    assert evaluator.status().workers[1].idles == {RUN: f"data {'cd' * 8}, not {'ab' * 8}"}
    evaluator.submit([job(number) for number in range(2, 12)])
    done = collect_all(evaluator, 10)
    assert {evaluation.worker for evaluation in done.values()} == {"one"}
