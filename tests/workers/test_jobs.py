"""What a worker accepts from the wire: one function, bounded JSON, nothing that RQ would import, fetch or unpickle."""

import json
import pickle
import string
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import rq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.exceptions import NoSuchJobError

from actsearch.errors import ConfigError
from actsearch.evaluation import Evaluation, Outcome
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.connection import connect
from actsearch_workers.digests import Digests
from actsearch_workers.jobs import (
    FUNCTION,
    QUEUE,
    SERIALIZER,
    WORKER,
    Notice,
    WorkerSettings,
    evaluate,
    inbox_key,
    job_id,
    publish,
)
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from tests.integration.fake_training import QUEUED, RUN, bind, job


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("jobs") / "redis") as server:
        yield server


@pytest.fixture
def connection(server: LocalServer) -> Iterator[redis.Redis]:
    client = connect(server.address)
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def queue(connection: redis.Redis) -> rq.Queue:
    return rq.Queue(QUEUE, connection=connection, serializer=SERIALIZER, job_class=AllowedJob)


def fetch(queue: rq.Queue, id: str) -> AllowedJob:  # noqa: A002
    return AllowedJob.fetch(id, connection=queue.connection, serializer=SERIALIZER)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # where others want the processor too
@given(st.text(min_size=1, max_size=200), st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(0, 10**6))
def test_a_job_id_holds_only_what_rq_allows_and_names_one_attempt(run: str, evaluation: str, attempt: int) -> None:
    name = job_id(run, evaluation, attempt)
    assert set(name) <= set(string.ascii_letters + string.digits + "_-")
    assert name != job_id(run, evaluation, attempt + 1)
    assert name != job_id(run + "x", evaluation, attempt)


def test_only_json_is_in_the_server_and_nothing_expires(connection: redis.Redis, queue: rq.Queue) -> None:
    bind(connection)
    RqEvaluator(connection, QUEUED).submit([job(7)])
    key = AllowedJob.key_for(job_id(RUN, job(7).evaluation, 0))
    raw = {cast(bytes, field): cast(bytes, value) for field, value in connection.hgetall(key).items()}
    name, instance, args, kwargs = json.loads(zlib.decompress(raw[b"data"]))
    assert (name, instance, args, kwargs) == (FUNCTION, None, [job(7).model_dump(mode="json")], {})
    for field, value in raw.items():
        (zlib.decompress(value) if field == b"data" else value).decode("ascii")  # a pickle begins with 0x80
    assert connection.ttl(key) == -1
    assert raw[b"timeout"] == b"3600"
    assert int(raw[b"result_ttl"]) > 0


@pytest.mark.parametrize(
    "function", ["os.getcwd", "actsearch_workers.jobs.publish", "builtins.eval", "", "actsearch_workers.jobs.evaluate "]
)
def test_no_other_function_is_called(queue: rq.Queue, function: str) -> None:
    id = queue.enqueue_call(function or "x", args=({},)).id  # noqa: A001
    with pytest.raises(ConfigError, match=f"may only call {FUNCTION}"):
        fetch(queue, id).perform()


def test_rq_sees_no_field_that_our_jobs_do_not_have(queue: rq.Queue) -> None:
    """Nor what a later RQ may read: the fields that it knows today stand in its own `to_dict`."""
    id = queue.enqueue_call(FUNCTION, args=(job(1).model_dump(mode="json"),), timeout=60).id  # noqa: A001
    ours = fetch(queue, id).to_dict()
    foreign = {
        "success_callback_name": "os.getcwd",
        "failure_callback_name": "os.getcwd",
        "stopped_callback_name": "os.getcwd",
        "success_callback_timeout": "1000000",
        "webhooks": '[{"url": "http://169.254.169.254/"}]',
        "retries_left": "1000000",
        "retry_intervals": "[0]",
        "number_of_retries": "0",
        "enqueue_at_front_on_retry": "1",
        "repeats_left": "1000000",
        "repeat_intervals": "[0]",
        "rate_limit_key": "x",
        "rate_limit_concurrency": "1",
        "dependency_id": "x",
        "dependency_ids": '["x"]',
        "allow_dependency_failures": "1",
        "group_id": "x",
        "result": "1",
        "exc_info": zlib.compress(b" " * 50_000_000),
        "meta": "{}",
        "ttl": "1",
        "result_ttl": "-1",
        "failure_ttl": "-1",
    }
    queue.connection.hset(AllowedJob.key_for(id), mapping=cast(dict[Any, Any], foreign))
    assert fetch(queue, id).to_dict() == ours
    assert ours["result_ttl"] == ours["failure_ttl"] == 60


@pytest.mark.parametrize(
    "change",
    [
        {"data": zlib.compress(b" " * 50_000_000)},
        {"data": pickle.dumps((FUNCTION, None, [], {}))},
        {"meta": "x" * 1_000_000},
        {"timeout": "-1"},
        {"timeout": "eternity"},
        {"created_at": "yesterday"},
        {"status": "excellent"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_hash_that_asks_for_more_is_no_job(queue: rq.Queue, change: dict[str, bytes | str]) -> None:
    id = queue.enqueue_call(FUNCTION, args=(job(1).model_dump(mode="json"),), timeout=60).id  # noqa: A001
    for field, value in change.items():
        queue.connection.hset(AllowedJob.key_for(id), field, value)
    with pytest.raises(NoSuchJobError):
        fetch(queue, id)


def test_what_is_no_hash_or_no_id_is_no_job(queue: rq.Queue) -> None:
    queue.connection.set(AllowedJob.key_for("text"), "not a hash")
    for id in ("text", "not/an id", "x" * 10_000, "none"):  # noqa: A001
        with pytest.raises(NoSuchJobError):
            fetch(queue, id)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({}, "run"),
        ({**job(1).model_dump(mode="json"), "extra": 1}, "extra"),
        ({**job(1).model_dump(mode="json"), "evaluation": "../../etc/passwd"}, "evaluation"),
        ({**job(1).model_dump(mode="json"), "tokens": ["x"] * 1000}, "tokens"),
        ({**job(1).model_dump(mode="json"), "seed": -1}, "seed"),
        ({**job(1).model_dump(mode="json"), "dataset": "x" * 65_000}, "65536 bytes"),
    ],
)
def test_a_payload_that_is_no_job_is_refused_in_one_line(queue: rq.Queue, payload: dict[str, Any], says: str) -> None:
    id = queue.enqueue_call(FUNCTION, args=(payload,), timeout=60).id  # noqa: A001
    with pytest.raises(ConfigError, match=says) as caught:
        fetch(queue, id).perform()
    assert "\n" not in str(caught.value)


def test_a_job_names_only_folders_that_the_worker_opens(tmp_path: Path) -> None:
    data_dir, own, other = tmp_path / "data", tmp_path / "own", tmp_path / "other"
    worker = WorkerSettings(name="one", device="cpu", data_dir=data_dir, data_roots=(own,))
    own.mkdir()
    (own / "link").symlink_to(other)
    (own / "circle").symlink_to(own / "circle")
    for right in ("digits", "mine:data", f"imagefolder:{own}", f"imagefolder:{data_dir}/cats?size=32"):
        worker.check_allowed(right)
    wrong = [
        f"{tmp_path}",
        f"{other}",
        f"{own}/../other",
        f"{own}/link/cats",
        f"{own}more",
        "/etc",
        "/",
        "~",
        "..",
        ".",
    ]
    for folder in wrong:
        with pytest.raises(ConfigError, match="only with --data-root"):
            worker.check_allowed(f"imagefolder:{folder}")
    for folder in ("~nobody-of-that-name", f"{own}/\0", f"{own}/circle/cats", f"{own}?size=1000000"):
        with pytest.raises(ConfigError, match=r"names no folder|not of the form"):
            worker.check_allowed(f"imagefolder:{folder}")


def test_a_folder_that_is_not_open_is_neither_trained_on_nor_digested(tmp_path: Path) -> None:
    worker = WorkerSettings(name="one", device="cpu", data_dir=tmp_path)
    payload = job(1, "imagefolder:/etc").model_dump(mode="json")
    with pytest.raises(ConfigError, match="names no folder"):
        Digests(worker)("imagefolder:~nobody-of-that-name")
    for ask in (lambda: copy_context().run(_evaluate_as, worker, payload), lambda: Digests(worker)("imagefolder:/etc")):
        with pytest.raises(ConfigError, match="'imagefolder:/etc': a worker reads that folder only with --data-root"):
            ask()


def test_user_code_is_not_imported_where_it_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_jobs.py").write_text("import pathlib\npathlib.Path('canary').touch()\nnet = images = None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    worker = WorkerSettings(name="one", device="cpu", data_dir=tmp_path)
    payload = job(1, "digits").model_dump(mode="json")
    for change in (
        {"child": {"name": "mine_of_jobs:net"}},
        {"dataset": "mine_of_jobs:images"},
        {"dataset": "os:abort"},
    ):
        with pytest.raises(ConfigError, match="is user code; it is imported only with --allow-user-code"):
            copy_context().run(_evaluate_as, worker, payload | change)
        assert not (tmp_path / "canary").exists()
    with pytest.raises(ConfigError):  # no data set, but imported
        copy_context().run(
            _evaluate_as, replace(worker, allow_user_code=True), payload | {"dataset": "mine_of_jobs:images"}
        )
    assert (tmp_path / "canary").exists()


def _evaluate_as(worker: WorkerSettings, payload: dict[str, Any]) -> dict[str, Any]:
    WORKER.set(worker)
    return evaluate(payload)


def test_a_notice_carries_one_bounded_line_and_never_raises(queue: rq.Queue) -> None:
    good = job(1).model_dump(mode="json")
    names_none = [
        (),
        ("text",),
        ({"run": 1, "evaluation": []},),
        ({**good, "run": "\ud800"},),
        ({**good, "run": "x" * 201},),
        ({**good, "evaluation": "\ud800"},),
        ({**good, "evaluation": good["evaluation"] + "\n"},),
    ]
    jobs = {job_id(RUN, f"{number}", 3): args for number, args in enumerate([(good,), *names_none])}
    for id, args in (jobs | {f"a-{'9' * 5_000}": (good,), "a-": (good,), "a": (good,)}).items():  # noqa: A001
        queue.enqueue_call(FUNCTION, args=args, timeout=60, job_id=id)
        fetch(queue, id).notice("line one\nline two " + "x" * 10_000, hopeless=True)
    (line,) = queue.connection.lrange(inbox_key(RUN), 0, -1)
    notice = Notice.model_validate_json(line)
    assert (notice.evaluation, notice.attempt, notice.hopeless) == (job(1).evaluation, 3, True)
    assert notice.error.startswith("line one line two xxx")
    assert len(notice.error) == 500
    fetch(queue, next(iter(jobs))).notice("no such file: caf\udce9.png")
    last = cast(bytes, queue.connection.rpop(inbox_key(RUN)))
    assert "caf\\udce9.png" in Notice.model_validate_json(last).error


def test_a_result_too_large_to_travel_is_refused_by_the_worker(connection: redis.Redis) -> None:
    small = Evaluation(run=RUN, evaluation=job(1).evaluation, outcome=Outcome.DIVERGED)
    large = small.model_copy(update={"reason": "x" * 70_000})
    with pytest.raises(ConfigError, match="at most 65536 bytes"):
        publish(connection, large)
    assert connection.keys() == []


def test_a_controller_imports_the_queue_without_torch() -> None:
    program = "import sys; from actsearch_workers import pool, queue, server; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "actsearch_workers.queue" in modules
    assert not {"torch", "timm", "torchvision"} & set(modules)
