"""How a worker presents itself: name, device, environment, and its own rights over those of a job."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
import torch
from rq.exceptions import StopRequested

import actsearch_workers
from actsearch.errors import ActsearchError, CallerError, ConfigError, RunPausedError, ServerUnreachableError
from actsearch.evaluation import Evaluation, Job
from actsearch_workers import devices
from actsearch_workers import queue as queue_module
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.connection import Address, connect
from actsearch_workers.devices import choose_device, hold_gpu
from actsearch_workers.environment import environment
from actsearch_workers.jobs import (
    FUNCTION,
    QUEUE,
    SERIALIZER,
    Notice,
    WorkerSettings,
    inbox_key,
    job_id,
    run_job,
)
from actsearch_workers.look import queue_status
from actsearch_workers.matching import Matcher
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from actsearch_workers.serving import serve
from actsearch_workers.worker import SearchWorker
from tests.integration import fake_training
from tests.integration.fake_training import DIGEST, ENVIRONMENT, QUEUED, RUN, expected, job


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[redis.Redis]:
    with LocalServer(tmp_path / "redis") as server:
        client = connect(server.address)
        yield client
        client.close()


def worker_of(connection: redis.Redis) -> SearchWorker:
    settings = WorkerSettings(name="one", device="cpu", data_dir=Path())
    return SearchWorker(connection, settings, Matcher(ENVIRONMENT.on(""), lambda _: DIGEST, allow_user_code=False))


def test_the_environment_names_what_decides_the_last_bits() -> None:
    here = environment("cpu")
    assert here.torch == torch.__version__
    assert torch.backends.cpu.get_cpu_capability() in here.device
    assert len(here.fingerprint) == 8
    assert str(here).startswith(here.fingerprint)
    for part in ("torch", "numpy", "device"):
        other = type(here)(**{**vars(here), part: "another"})
        assert other.fingerprint != here.fingerprint


@pytest.mark.parametrize("wanted", ["gpu", "cuda", "cuda:-1", "cuda:x", "CPU", "", "cuda:0;rm"])
def test_an_unknown_device_says_what_would_be_right(wanted: str, connection: redis.Redis) -> None:
    with pytest.raises(ConfigError, match="auto, cpu or cuda:0"):
        choose_device(wanted, "one", connection)


def test_a_gpu_that_is_not_here_is_refused(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1", "one", connection) == "cuda:1"
    with pytest.raises(ConfigError, match=r"cuda:2.*cuda:0 to cuda:1"):
        choose_device("cuda:2", "one", connection)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="no CUDA device"):
        choose_device("cuda:0", "one", connection)
    assert choose_device("auto", "one", connection) == "cpu"


def test_workers_of_one_machine_share_out_its_gpus(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    first = [choose_device("auto", name, connection) for name in ("one", "two", "three")]
    assert first == ["cuda:0", "cuda:1", "cuda:2"]
    assert choose_device("auto", "four", connection) in first, "more workers than GPUs share"
    monkeypatch.setattr(devices, "_gpu_key", lambda gpu: f"another machine:{gpu}")
    assert choose_device("auto", "five", connection) == "cuda:0"
    hold_gpu("cuda:2", "five", connection)
    assert 0 < connection.ttl("another machine:2") <= devices.GPU_CLAIM_SECONDS


@pytest.mark.parametrize("name", ["a b", "x" * 101, "a:b", "a/b"])
def test_a_name_that_cannot_be_is_refused_before_anything_else(name: str) -> None:
    with pytest.raises(ConfigError, match="--name"):
        serve(Address("unix:///nowhere"), name=name, data_dir=Path())


def test_a_server_that_is_not_there_is_told_before_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actsearch_workers.serving._import_for_jobs", lambda: pytest.fail("imported"))
    with pytest.raises(ServerUnreachableError, match="unix:///nowhere"):
        serve(Address("unix:///nowhere"), data_dir=Path(), wait_seconds=0.1)


def test_a_name_in_use_is_refused(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actsearch_workers.serving._import_for_jobs", lambda: None)
    worker_of(connection).register_birth()  # type: ignore[no-untyped-call]
    address = Address(f"unix://{connection.get_connection_kwargs()['path']}")
    with pytest.raises(ConfigError, match="'one': a worker of that name is at work"):
        serve(address, name="one", device="cpu", data_dir=Path())


def test_a_worker_that_ends_by_itself_has_failed(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its restart policy is `on-failure`: with exit code 0 it would stay away."""

    def fails(worker: SearchWorker, *_: Any) -> None:
        raise RuntimeError("a bug")

    def is_told_to_end(worker: SearchWorker, *_: Any) -> None:
        worker.handle_warm_shutdown_request()
        raise StopRequested

    monkeypatch.setattr("actsearch_workers.serving._import_for_jobs", lambda: None)
    monkeypatch.setattr("actsearch_workers.serving.in_fork", lambda _: ENVIRONMENT.model_dump_json())
    monkeypatch.setattr(SearchWorker, "_install_signal_handlers", lambda _: None)
    address = Address(f"unix://{connection.get_connection_kwargs()['path']}")
    monkeypatch.setattr(SearchWorker, "dequeue_job_and_maintain_ttl", fails)
    with pytest.raises(ActsearchError, match=r"worker one ended on an error") as caught:
        serve(address, name="one", device="cpu", data_dir=Path())
    assert not isinstance(caught.value, CallerError), "exit code 1: to start it again may help"
    monkeypatch.setattr(SearchWorker, "dequeue_job_and_maintain_ttl", is_told_to_end)
    serve(address, name="two", device="cpu", data_dir=Path())
    connection.config_set("maxmemory", 1)
    with pytest.raises(ActsearchError, match=r"worker three cannot register with the server: .*maxmemory"):
        serve(address, name="three", device="cpu", data_dir=Path())


def test_a_silent_worker_is_gone_after_seconds_and_back_with_its_next_word(connection: redis.Redis) -> None:
    worker = worker_of(connection)
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.heartbeat()
    assert [w.name for w in queue_status(connection, "run").workers] == ["one"]
    assert connection.ttl(worker.key) <= 15
    connection.delete(worker.key)
    connection.delete("rq:workers")
    assert queue_status(connection, "run").workers == ()
    worker.heartbeat()
    assert [w.name for w in queue_status(connection, "run").workers] == ["one"]


def test_a_jobs_rights_are_its_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def train(job: Job, **settings: Any) -> Evaluation:
        seen.update(settings)
        return expected(job)

    monkeypatch.setitem(sys.modules, "actsearch_workers.training", fake_training)
    monkeypatch.setattr(actsearch_workers, "training", fake_training, raising=False)
    monkeypatch.setattr(fake_training, "train", train)
    for allowed in (False, True):
        worker = WorkerSettings(name="one", device="cpu", data_dir=tmp_path, allow_user_code=allowed)
        evaluation = run_job(job(1), worker)
        assert seen.pop("on_step") is worker.on_step
        assert seen == {"device": torch.device("cpu"), "data_dir": tmp_path, "allow_user_code": allowed}
        assert (evaluation.worker, evaluation.environment) == ("one", str(environment("cpu")))


def test_a_run_that_none_of_its_only_workers_fits_pauses(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "UNFIT_SECONDS", 0.0)
    monkeypatch.setattr(queue_module, "SWEEP_SECONDS", 0.0)
    worker = worker_of(connection)
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker._matcher.mismatches = {RUN: "data ef, not ab"}
    worker.heartbeat()
    others_may_come = RqEvaluator(connection, QUEUED)
    alone = RqEvaluator(connection, QUEUED, workers_may_come=False)
    for evaluator in (others_may_come, alone):
        evaluator.submit([job(1)])
    assert others_may_come.collect(0.1) == []
    with pytest.raises(RunPausedError, match=r"no worker fits the run \(one: data ef, not ab\)"):
        alone.collect(60)


def test_a_search_does_not_ask_for_the_workers_that_it_starts_itself(connection: redis.Redis) -> None:
    others_may_come = RqEvaluator(connection, QUEUED)
    alone = RqEvaluator(connection, QUEUED, workers_may_come=False)
    for evaluator in (others_may_come, alone):
        evaluator.status()
    assert others_may_come.why_nothing_moves(1) == ["no worker serves this server: start some with `actsearch worker`"]
    assert alone.why_nothing_moves(1) == ["its workers are not there yet"]
    assert alone.why_nothing_moves(0) == []


def last_notice(connection: redis.Redis) -> Notice:
    line = connection.rpop(inbox_key(RUN))
    assert isinstance(line, bytes)
    return Notice.model_validate_json(line)


def test_which_ends_of_a_process_are_its_own_doing(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_of(connection)
    worker._note_step(7)
    queue = rq.Queue(QUEUE, connection=connection, serializer=SERIALIZER, job_class=AllowedJob)
    payload = job(1).model_dump(mode="json")
    one = queue.enqueue_call(FUNCTION, args=(payload,), timeout=60, job_id=job_id(RUN, job(1).evaluation, 2))

    def notice_of(status: int | None, memory_kills: int = 0) -> Notice:
        monkeypatch.setattr("actsearch_workers.worker.out_of_memory_kills", lambda: memory_kills)
        worker._report_killed_horse(one, 1, status, None)
        notice = last_notice(connection)
        assert (notice.evaluation, notice.attempt) == (job(1).evaluation, 2)
        return notice

    def died_at(status: int | None) -> int | None:
        return notice_of(status).died_at

    assert died_at(signal.SIGSEGV) == died_at(signal.SIGABRT) == died_at(signal.SIGBUS) == 7
    assert died_at(signal.SIGKILL) is None, "somebody has killed it"
    starved = notice_of(signal.SIGKILL, memory_kills=1)
    assert (starved.died_at, starved.error) == (None, "the training process was killed by SIGKILL (out of memory)")
    assert died_at(signal.SIGTERM) is None
    assert died_at(1 << 8) is None, "it ended by itself, as where the server is gone"
    assert died_at(None) is None

    def raised_at(error: Exception) -> int | None:
        worker._report_exception(one, type(error), error, None)
        return last_notice(connection).died_at

    # Somebody else may have the memory, and then every function would be the worst.
    assert raised_at(MemoryError()) is raised_at(torch.OutOfMemoryError("CUDA out of memory")) is None
    assert raised_at(OSError("disk full")) is None
    assert raised_at(redis.exceptions.OutOfMemoryError("maxmemory")) is None, "the server's memory"
    assert raised_at(ConfigError("no such child")) is None
