"""Real processes killed with -9: nothing is lost, nothing counts twice, and what cannot be helped pauses the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from actsearch.errors import RunPausedError
from actsearch.evaluation import CurvePoint, Evaluation, Job, LayerRecord, Outcome
from actsearch_workers import connection as connection_module
from actsearch_workers import pool
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.connection import connect
from actsearch_workers.jobs import (
    INBOX_SECONDS,
    attempts_key,
    inbox_key,
    job_id,
    lease_key,
    publish,
    results_key,
)
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.run_queue import RunQueue
from actsearch_workers.server import LocalServer
from tests.integration.conftest import PATIENCE_SECONDS, WorkerStarter, eventually, until_bound
from tests.integration.fake_training import QUEUE_KEY, QUEUED, RUN, bind, expected, job
from tests.integration.test_queue_contract import collect_all

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


def collect_one(evaluator: RqEvaluator, seconds: float = PATIENCE_SECONDS) -> Evaluation:
    found = eventually(lambda: evaluator.collect(1.0), seconds)
    assert len(found) == 1
    return found[0]


def is_running(pid: int) -> bool:
    """Whether a process runs: one that has ended but was not waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_killed_training_runs_again_on_the_living_worker(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    workers = start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1, f"once {tmp_path}/first die")])
    assert collect_one(evaluator).val_accuracy == 0.01
    assert evaluator.status().retries == 1
    assert workers.restarts == 0


@pytest.mark.slow
def test_a_killed_workers_training_dies_and_its_job_runs_elsewhere_within_15_seconds(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1, f"once {tmp_path}/first pid {tmp_path}/pids 1200")])
    until_bound(evaluator)
    pids = tmp_path / "pids"
    horse, worker = map(int, eventually(lambda: pids.read_text() if pids.exists() else "").split())
    (state,) = evaluator.status().workers
    assert (state.name, state.evaluation, state.run) == ("one", job(1).evaluation, RUN)
    start_workers("two")
    # It waits for jobs.
    eventually(lambda: [w.name for w in evaluator.status().workers if w.environment] == ["one", "two"])
    # The lease is as fresh as can be.
    eventually(lambda: connection.pttl(lease_key(job_id(RUN, job(1).evaluation, 0))) > 7_500)
    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    evaluation = collect_one(evaluator)
    assert time.monotonic() - killed < 15
    assert evaluation.worker == "two"
    assert not is_running(horse)
    assert evaluator.status().retries == 1


@pytest.mark.slow
def test_a_job_that_outlives_its_lease_is_not_given_away(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    start_workers("one", "two", lease_seconds=6)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1, "sleep 15"), job(2, f"count {tmp_path}/count")])
    found = [*eventually(lambda: evaluator.collect(1.0)), collect_one(evaluator)]
    assert {e.evaluation for e in found} == {job(1).evaluation, job(2).evaluation}
    assert evaluator.status().retries == 0


def test_a_training_over_its_time_is_a_fault_not_an_outcome(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED, max_retries=0)
    evaluator.submit([job(1, "sleep 60", timeout_seconds=1)])
    with pytest.raises(RunPausedError, match="took longer than 1 s"):
        collect_one(evaluator)


def test_retries_are_bounded_and_a_resumed_run_has_them_anew(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED, max_retries=3)
    evaluator.submit([job(1, "die")])
    with pytest.raises(RunPausedError, match=r"failed 4 times, last: .*killed by SIGKILL"):
        collect_one(evaluator)
    assert evaluator.status().retries == 4
    resumed = RqEvaluator(connection, QUEUED, max_retries=1)
    resumed.submit([job(1, "die")])
    with pytest.raises(RunPausedError, match="failed 2 times"):
        collect_one(resumed)


def test_a_late_result_of_an_attempt_given_up_counts_once(connection: redis.Redis) -> None:
    """The worker was only slow: its result arrives while the second attempt still waits in the queue."""
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    taken = connection.lpop(QUEUE_KEY)
    assert taken is not None
    eventually(lambda: evaluator.collect(0.5) or connection.llen(QUEUE_KEY) == 1)
    publish(connection, expected(job(1)))
    publish(connection, expected(job(1)).model_copy(update={"val_accuracy": 0.99}))
    evaluation = collect_one(evaluator)
    assert evaluation.val_accuracy == 0.01, "the first write stands"
    evaluator.release([evaluation])
    assert evaluator.collect(0.1) == []
    assert connection.llen(QUEUE_KEY) == 0
    assert not connection.exists(AllowedJob.key_for(job_id(RUN, job(1).evaluation, 1))), "taken back, with its hash"
    assert connection.hlen(results_key(RUN)) == 0
    publish(connection, expected(job(1)))
    assert connection.hlen(results_key(RUN)) == 1
    eventually(lambda: evaluator.collect(0.5) or connection.hlen(results_key(RUN)) == 0)
    assert connection.hgetall(attempts_key(RUN)) == {job(1).evaluation.encode(): b"1"}
    publish(connection, expected(job(1)))
    assert 0 < connection.ttl(inbox_key(RUN)) <= INBOX_SECONDS
    evaluator.close()
    assert connection.keys("actsearch:*") == []


def test_results_that_the_store_has_are_cleared_by_the_next_controller(connection: redis.Redis) -> None:
    """A kill between storing and releasing leaves them: whoever goes on does not ask for them again."""
    bind(connection)
    killed = RqEvaluator(connection, QUEUED)
    killed.submit([job(1), job(2)])
    for number in (1, 2):
        publish(connection, expected(job(number)))
    assert collect_all(killed, 2)
    resumed = RqEvaluator(connection, QUEUED)
    assert resumed.collect(0.1) == []
    assert connection.hlen(results_key(RUN)) == 2, "it has not said yet what it waits for"
    resumed.submit([job(2), job(3)])
    assert collect_one(resumed).evaluation == job(2).evaluation
    assert connection.hkeys(results_key(RUN)) == [job(2).evaluation.encode()], "the store has job 1's"
    resumed.close()
    assert not connection.exists(results_key(RUN))


def test_a_result_that_cannot_be_is_a_failed_attempt(connection: redis.Redis) -> None:
    changes: list[dict[str, object]] = [
        {"val_accuracy": 7.5},
        {"val_accuracy": None},
        {"steps": 2**70},
        {"steps": job(1).recipe.steps + 1},
        {"environment": "x" * 60_000},
        {"outcome": Outcome.STOPPED, "predicted_accuracy": 0.9},
        {"layers": (LayerRecord(name="act", channels=1, betas={"gamma": (1.0,)}, histogram=(1,) * 40),)},
        {"layers": (LayerRecord(name="act", channels=1, betas={}, histogram=(1,) * 7),)},
    ]
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    jobs = [job(number) for number, _ in enumerate(changes)]
    evaluator.submit(jobs)
    for one, change in zip(jobs, changes, strict=True):
        publish(connection, expected(one).model_copy(update=change))
    assert evaluator.collect(0.1) == []
    assert connection.hgetall(attempts_key(RUN)) == {one.evaluation.encode(): b"1" for one in jobs}
    publish(connection, expected(jobs[0]))
    assert collect_one(evaluator) == expected(jobs[0])


def test_a_job_tried_again_stands_before_those_that_wait(connection: redis.Redis) -> None:
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1), job(2), job(3)])
    lost = connection.lpop(QUEUE_KEY)
    assert lost == job_id(RUN, job(1).evaluation, 0).encode()
    eventually(lambda: evaluator.collect(0.5) or connection.llen(QUEUE_KEY) == 3)
    again = [job_id(RUN, job(1).evaluation, 1), *(job_id(RUN, job(n).evaluation, 0) for n in (2, 3))]
    assert connection.lrange(QUEUE_KEY, 0, -1) == [name.encode() for name in again]


def test_results_wait_for_a_controller_that_was_away(connection: redis.Redis, start_workers: WorkerStarter) -> None:
    first = RqEvaluator(connection, QUEUED)
    first.submit([job(n) for n in range(3)])
    start_workers("one")
    until_bound(first)
    eventually(lambda: connection.hlen(results_key(RUN)) == 3)
    returned = RqEvaluator(connection, QUEUED)
    returned.submit([job(n) for n in range(3)])
    assert {e.evaluation for e in returned.collect(5)} == {job(n).evaluation for n in range(3)}
    assert connection.llen(QUEUE_KEY) == 0
    # Nothing that is still needed carries a time to live.
    assert connection.ttl(results_key(RUN)) == -1


def test_what_is_done_is_not_read_before_it_is_collected(connection: redis.Redis) -> None:
    """A resumed run may have a hundred megabytes of results waiting."""
    bind(connection)
    point = CurvePoint(step=1, val_accuracy=0.5, val_loss=1.0)
    jobs = [job(number) for number in range(20)]
    for one in jobs:
        publish(connection, expected(one).model_copy(update={"curve": (point,) * 1000}))
    evaluator = RqEvaluator(connection, QUEUED)
    before = connection.info("stats")["total_net_output_bytes"]
    evaluator.submit(jobs)
    assert connection.info("stats")["total_net_output_bytes"] - before < 40_000, "one result has more"
    assert connection.llen(QUEUE_KEY) == 0
    assert collect_all(evaluator, 20)[jobs[0].evaluation].curve[-1] == point


@pytest.mark.slow
def test_sigterm_lets_the_training_at_hand_finish(
    connection: redis.Redis, start_workers: WorkerStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STOP_SECONDS", PATIENCE_SECONDS)
    workers = start_workers("one", more=[str(PATIENCE_SECONDS)])
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1, "sleep 2"), job(2, "sleep 2")])
    until_bound(evaluator)
    eventually(lambda: evaluator.status().workers and evaluator.status().workers[0].evaluation)
    workers.stop()
    assert collect_one(evaluator).evaluation == job(1).evaluation
    status = evaluator.status()
    assert (status.workers, status.queued, status.retries) == ((), 1, 0)


def test_a_server_that_goes_for_good_pauses_the_run(server: LocalServer) -> None:
    client = connect(server.address, patient=False)
    bind(client)
    evaluator = RqEvaluator(client, QUEUED, patience_seconds=0.5)
    evaluator.submit([job(1)])
    assert evaluator.status().queued == 1
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(RunPausedError, match=r"has not answered for 0\.5 s"):
        collect_one(evaluator)
    evaluator.submit([job(2)])  # waits here, like the server's being told of what is released
    evaluator.release([expected(job(1))])
    assert evaluator.status().queued == 1, "as it was when last seen"
    with pytest.raises(RunPausedError, match="has died"):
        server.check()


def test_a_server_that_says_nothing_holds_nobody_up(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its packets are dropped. Between two calls of `collect` a stop on request is looked for."""
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.5)
    client = connect(server.address, patient=False)
    bind(client)
    evaluator = RqEvaluator(client, QUEUED, patience_seconds=3)
    evaluator.submit([job(1)])
    eventually(lambda: evaluator.collect(0.1) or client.llen(QUEUE_KEY) == 1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert evaluator.collect(0.1) == []
        evaluator.submit([job(2)])
        assert evaluator.status().away_seconds > 0
        assert "has not answered" in evaluator.why_nothing_moves(1)[0]
        assert time.monotonic() - started < 20, "one answer is waited for, not twenty-six"
        with pytest.raises(RunPausedError, match="has not answered for 3 s"):
            eventually(lambda: evaluator.collect(0.1))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    eventually(lambda: evaluator.collect(0.1) or client.llen(QUEUE_KEY) == 2)


def test_a_connection_that_breaks_while_jobs_go_out_loses_none(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, asked = RunQueue.put, []

    def breaking(self: RunQueue, one: Job, job_id: str, *, at_front: bool = False) -> None:
        asked.append(job_id)
        if len(asked) == 2:
            raise redis.exceptions.ConnectionError("it broke")
        put(self, one, job_id, at_front=at_front)

    monkeypatch.setattr(RunQueue, "put", breaking)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1), job(2)])
    bind(connection)
    eventually(lambda: evaluator.collect(0.1) or connection.llen(QUEUE_KEY) == 2)
    assert len(asked) == 4
    assert not connection.exists(attempts_key(RUN)), "none counts as lost"


def test_a_server_out_of_memory_pauses_the_run(connection: redis.Redis) -> None:
    connection.config_set("maxmemory", 1)
    evaluator = RqEvaluator(connection, QUEUED)
    with pytest.raises(RunPausedError, match=r"server fails: .*maxmemory"):
        evaluator.submit([job(1)])


@pytest.mark.slow
def test_workers_outlive_a_server_that_is_full_and_no_result_is_lost(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    workers = start_workers("one", "two")
    evaluator = RqEvaluator(connection, QUEUED)
    eventually(lambda: len(evaluator.status().workers) == 2)
    evaluator.submit([job(1, f"pid {tmp_path}/pids 2")])
    until_bound(evaluator)
    eventually((tmp_path / "pids").exists)
    connection.config_set("maxmemory", 1)
    logs = [tmp_path / "logs" / f"worker-{number}.log" for number in (1, 2)]
    eventually(lambda: any("waits for the server" in log.read_text() for log in logs))
    eventually(lambda: all("the server fails" in log.read_text() for log in logs))
    connection.config_set("maxmemory", 0)
    assert collect_one(evaluator).val_accuracy == 0.01
    evaluator.submit([job(2)])
    assert collect_one(evaluator).val_accuracy == 0.02
    workers.check()
    assert workers.restarts == 0


def test_a_job_survives_a_killed_server_that_starts_again_on_its_file(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "redis") as first:
        connection = connect(first.address)
        bind(connection)
        RqEvaluator(connection, QUEUED).submit([job(1), job(2)])
        connection.hset(results_key(RUN), job(2).evaluation, expected(job(2)).to_json())
        eventually(lambda: connection.info("persistence")["aof_buffer_length"] == 0)
        os.kill(first.pid, signal.SIGKILL)
    with LocalServer(tmp_path / "redis") as second:
        connection = connect(second.address)
        evaluator = RqEvaluator(connection, QUEUED)
        evaluator.submit([job(1), job(2)])
        assert collect_one(evaluator).evaluation == job(2).evaluation
        assert evaluator.status().queued == 2, "queued once each, before the kill"
        assert second.address != first.address


def test_everything_dies_with_a_killed_search(tmp_path: Path) -> None:
    """The server saves its file and goes; the workers go; a new search finds the folder free."""
    program = f"""
import sys, time
from pathlib import Path
from actsearch_workers.server import LocalServer
from tests.integration.conftest import fake_workers
with LocalServer(Path({str(tmp_path)!r}) / "redis") as server, fake_workers(server, Path({str(tmp_path)!r}), "one") as w:
    print(server.pid, *w.pids, flush=True)
    time.sleep(60)
"""
    search = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert search.stdout is not None
    pids = [int(pid) for pid in search.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    search.kill()
    search.wait()
    search.stdout.close()
    eventually(lambda: not any(is_running(pid) for pid in pids))
    with LocalServer(tmp_path / "redis") as server:
        assert connect(server.address).ping()
