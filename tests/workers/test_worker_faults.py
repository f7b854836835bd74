"""A worker goes on whatever clocks, server and wire do to it; what it cannot help it says."""

import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
from rq import registry as rq_registry
from rq.exceptions import StopRequested
from rq.job import JobStatus
from rq.timeouts import HorseMonitorTimeoutException
from rq.utils import now
from rq.worker import WorkerStatus
from rq.worker import base as rq_base
from rq.worker import worker_classes as rq_worker

from actsearch.evaluation import Evaluation
from actsearch_workers import allowed_job
from actsearch_workers import worker as worker_module
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.connection import connect
from actsearch_workers.jobs import Notice, WorkerSettings, inbox_key, lease_key, results_key
from actsearch_workers.matching import Matcher
from actsearch_workers.queue import PATIENCE_SECONDS, RqEvaluator
from actsearch_workers.server import LocalServer
from actsearch_workers.worker import SearchWorker
from tests.integration.fake_training import DIGEST, ENVIRONMENT, QUEUED, RUN, bind, expected, job


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("worker") / "redis") as server:
        yield server


@pytest.fixture
def connection(server: LocalServer) -> Iterator[redis.Redis]:
    client = connect(server.address)
    yield client
    client.config_set("maxmemory", 0)
    client.flushall()
    client.close()


def registered(connection: redis.Redis, name: str = "one") -> SearchWorker:
    settings = WorkerSettings(name=name, device="cpu", data_dir=Path())
    matcher = Matcher(ENVIRONMENT.on(""), lambda _: DIGEST, allow_user_code=False)
    worker = SearchWorker(connection, settings, matcher)
    worker.register_birth()  # type: ignore[no-untyped-call]
    return worker


def taken(connection: redis.Redis, worker: SearchWorker) -> AllowedJob:
    """A job of a run, as a worker has it in its hands."""
    bind(connection)
    RqEvaluator(connection, QUEUED).submit([job(1)])
    found = worker.dequeue_job_and_maintain_ttl(None)
    assert found is not None
    assert isinstance(found[0], AllowedJob)
    return found[0]


def test_no_clock_of_another_machine_declares_a_running_job_lost(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, ahead = registered(connection), registered(connection, "ahead")
    running = taken(connection, busy)
    busy.prepare_execution(running)
    busy.prepare_job_execution(running)
    monkeypatch.setattr(rq_registry, "current_timestamp", lambda: int(now().timestamp()) + 600)
    connection.delete(*(queue.registry_cleaning_key for queue in busy.queues))
    assert ahead.dequeue_job_and_maintain_ttl(None) is None
    assert running.get_status() == JobStatus.STARTED
    assert not any(b'"error":"' in line for line in connection.lrange(inbox_key(RUN), 0, -1))


def test_a_clock_that_is_set_forward_kills_no_training(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = registered(connection)
    running = taken(connection, worker)
    ahead = timedelta(0)
    monkeypatch.setattr(rq_worker, "now", lambda: now() + ahead)
    monkeypatch.setattr(worker_module, "now", lambda: now() + ahead)
    monkeypatch.setattr(worker, "kill_horse", lambda: pytest.fail("killed"))
    waits = 0

    def wait(_: rq.Worker) -> tuple[int, int, None]:
        nonlocal waits, ahead
        waits, ahead = waits + 1, ahead + timedelta(hours=5)
        if waits < 3:
            raise HorseMonitorTimeoutException
        return 1, 0, None

    monkeypatch.setattr(rq.Worker, "wait_for_horse", wait)
    worker.monitor_work_horse(running, worker.queues[-1], worker.prepare_execution(running))
    assert waits == 3


@pytest.mark.timeout(30)
def test_a_clock_that_is_set_back_keeps_no_idle_worker_from_looking_for_runs(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = registered(connection)
    monkeypatch.setattr(worker_module, "LOOK_SECONDS", 0.05)
    looks, calls = 0, count()

    def look(_: redis.Redis) -> list[str]:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise StopRequested
        return []

    monkeypatch.setattr(worker._matcher, "look", look)
    monkeypatch.setattr(rq_base, "now", lambda: now() - timedelta(hours=next(calls)))
    with pytest.raises(StopRequested):
        worker.dequeue_job_and_maintain_ttl(5)


def test_what_has_ended_is_removed_from_the_lists_by_one_worker_a_minute(connection: redis.Redis) -> None:
    worker = registered(connection)
    queue = worker.queues[0]
    lists = (queue.finished_job_registry.key, queue.failed_job_registry.key, queue.started_job_registry.key)

    def fill_and_take() -> list[int]:
        for key in lists:
            connection.zadd(key, {"ended": 1, "not yet": 2**40})
        assert worker.dequeue_job_and_maintain_ttl(None) is None
        return [connection.zcard(key) for key in lists]

    assert fill_and_take() == [1, 1, 1]
    assert fill_and_take() == [2, 2, 2], "the minute is not over"
    assert 0 < connection.ttl(queue.registry_cleaning_key) <= 60


def test_an_idle_worker_waits_while_the_server_refuses(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = registered(connection)
    connection.config_set("maxmemory", 1)
    worker.heartbeat()
    sleeps = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        connection.config_set("maxmemory", 0)

    monkeypatch.setattr(time, "sleep", sleep)
    assert worker.dequeue_job_and_maintain_ttl(None) is None
    assert sleeps == [1.0]
    assert worker.get_state() == WorkerStatus.IDLE


def test_a_job_is_given_up_where_the_server_refuses_its_start_or_end(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = registered(connection)
    running = taken(connection, worker)
    connection.config_set("maxmemory", 1)
    monkeypatch.setattr(worker, "fork_work_horse", lambda *_: pytest.fail("trained without having said so"))
    worker.execute_job(running, worker.queues[-1])
    assert worker.executions == {}, "the next job's process would take the first of these for its own"
    connection.config_set("maxmemory", 0)
    monkeypatch.setattr(worker, "fork_work_horse", lambda *_: connection.config_set("maxmemory", 1))
    monkeypatch.setattr(worker, "wait_for_horse", lambda: (1, int(signal.SIGKILL), None))
    worker.execute_job(running, worker.queues[-1])
    worker.heartbeat()
    assert worker.executions == {}


def test_a_training_goes_on_while_the_server_refuses_heartbeats(connection: redis.Redis) -> None:
    worker = registered(connection)
    running = taken(connection, worker)
    execution = worker.prepare_execution(running)
    connection.config_set("maxmemory", 1)
    worker.maintain_heartbeats(running, execution)


@pytest.mark.timeout(60)
def test_a_worker_that_ends_does_not_wait_for_a_server_that_is_away(server: LocalServer) -> None:
    client = connect(server.address)
    worker = registered(client, "away")
    client.connection_pool.reset()
    client.get_connection_kwargs()["path"] = "/nowhere"
    worker.teardown()


def test_a_result_waits_for_a_server_that_is_full_and_longer_than_a_run_does(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = taken(connection, registered(connection))
    monkeypatch.setattr(rq.job.Job, "perform", lambda _: expected(job(1)).model_dump(mode="json"))
    monkeypatch.setattr(time, "sleep", lambda _: connection.config_set("maxmemory", 0))
    connection.config_set("maxmemory", 1)
    running.perform()
    text = connection.hget(results_key(RUN), job(1).evaluation)
    assert Evaluation.from_json(text or b"") == expected(job(1))
    assert allowed_job.HOLD_SECONDS > PATIENCE_SECONDS
    monkeypatch.setattr(allowed_job, "HOLD_SECONDS", 0.0)
    connection.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        running.perform()


def test_a_job_taken_while_the_worker_is_told_to_end_is_handed_back(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = registered(connection)
    fetch = AllowedJob.fetch

    def told_meanwhile(*arguments: Any, **more: Any) -> AllowedJob:
        worker.request_stop(signal.SIGTERM, None)  # type: ignore[no-untyped-call]
        return fetch(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(AllowedJob, "fetch", told_meanwhile)
        patch.setattr(signal, "signal", lambda *_: None)
        running = taken(connection, worker)
    worker.execute_job(running, worker.queues[-1])
    *_, line = connection.lrange(inbox_key(RUN), 0, -1)
    assert Notice.model_validate_json(line).handed_back
    assert not connection.exists(lease_key(running.id)), "nobody waits for a lease to run out"
    assert worker.dequeue_job_and_maintain_ttl(5) is None, "it takes no other"
