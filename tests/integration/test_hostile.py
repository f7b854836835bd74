"""Each hostile payload, sent to a real worker: nothing runs but children, the worker lives on, its own run is served."""

import json
import logging
import pickle
import zlib
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from rq.worker_registration import REDIS_WORKER_KEYS

from actsearch.errors import RunPausedError
from actsearch_workers import doctor
from actsearch_workers.allowed_job import AllowedJob
from actsearch_workers.jobs import FUNCTION, Notice, inbox_key, job_id, publish, results_key
from actsearch_workers.look import FIELD, queue_status
from actsearch_workers.matching import ENVIRONMENTS_KEY
from actsearch_workers.queue import RqEvaluator
from tests.integration.conftest import PATIENCE_SECONDS, WorkerStarter, eventually
from tests.integration.fake_training import ENVIRONMENT, QUEUED, RUN, bind, expected, job
from tests.integration.test_queue_contract import collect_all

GOOD = job(1, "sleep 0").model_dump(mode="json")
NO_LIST = "a run whose inbox is no list"


class Evil:
    """A pickle that makes a file where it is opened."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self._canary,)


def packed(payload: Any, function: str = FUNCTION, instance: Any = None) -> bytes:
    """A job's data as RQ's JSON serializer writes it."""
    return zlib.compress(json.dumps([function, instance, [payload], {}]).encode())


REFUSED = packed({**GOOD, "seed": -1})
"""Of a job that a worker takes and fails."""


def hostile(canary: Path) -> dict[str, dict[str, Any]]:
    """Fields of RQ's hash of a job, by what is wrong with them."""
    fields: dict[str, dict[str, Any]] = {
        "a pickle": {"data": zlib.compress(pickle.dumps((FUNCTION, None, [Evil(canary)], {})))},
        "a pickle, not compressed": {"data": pickle.dumps(Evil(canary))},
        "another function": {"data": packed(f"touch {canary}", "os.system")},
        "a method": {"data": packed([], "touch", instance=str(canary))},
        "a function of ours": {"data": packed(GOOD, "actsearch_workers.jobs.publish")},
        "a callback": {"failure_callback_name": "os.abort", "data": REFUSED},
        "a webhook": {"webhooks": json.dumps([{"url": "http://169.254.169.254/"}]), "data": REFUSED},
        "endless retries": {"retries_left": "1000000", "description": "again and again", "data": REFUSED},
        "a zip bomb": {"data": zlib.compress(b"[" * 50_000_000)},
        "huge JSON": {"data": packed({**GOOD, "dataset": "x" * 10_000_000})},
        "huge description": {"description": "x" * 10_000_000},
        "deep nesting": {"data": zlib.compress(b"[" * 100_000 + b"]" * 100_000)},
        "deep nesting inside": {
            "data": zlib.compress(f'["{FUNCTION}", null, [{"[" * 50_000}{"]" * 50_000}], {{}}]'.encode())
        },
        "not JSON": {"data": zlib.compress(b"\x80\x04K\x01.")},
        "no arguments": {"data": zlib.compress(json.dumps([FUNCTION, None, [], {}]).encode())},
        "other arguments": {"data": zlib.compress(json.dumps([FUNCTION, None, [GOOD], {"worker": {}}]).encode())},
        "a huge number": {"data": zlib.compress(f'["{FUNCTION}", null, [{{"seed": 1{"0" * 10_000}}}], {{}}]'.encode())},
        "NaN": {"data": packed({**GOOD, "recipe": {**GOOD["recipe"], "learning_rate": float("nan")}})},
        "eternity": {"timeout": "999999999999"},
        "no time limit": {"timeout": "-1"},
        "lines in the log": {"description": "x\nWorker one: root logged in", "data": packed({})},
    }
    wrong: dict[str, dict[str, Any]] = {
        "negative steps": {"recipe": {**GOOD["recipe"], "steps": -1}},
        "endless steps": {"recipe": {**GOOD["recipe"], "steps": 10**12}},
        "huge batch": {"recipe": {**GOOD["recipe"], "batch_size": 10**12}},
        "infinite rate": {"recipe": {**GOOD["recipe"], "learning_rate": float("inf")}},
        "negative seed": {"seed": -1},
        "a path as evaluation": {"evaluation": "../../../etc/passwd"},
        "a thousand tokens": {"tokens": ["identity"] * 1000},
        "code as token": {"tokens": ["__import__('os')", "identity", "add"]},
        "code as backend": {"backend": "os.system"},
        "another field": {"allow_user_code": True},
        "another run's keys": {"run": ["actsearch:runs"]},
        "no run": {"run": ""},
        "half a character as run": {"run": "\ud800"},
        "half a character as evaluation": {"evaluation": "\ud800"},
        "a run whose inbox is no list": {"run": NO_LIST, "seed": -1},
        "a folder of the machine's": {"dataset": "imagefolder:/etc"},
        "a folder by way of one that is open": {"dataset": "imagefolder:tests/../../../etc"},
    }
    return fields | {name: {"data": packed({**GOOD, **change})} for name, change in wrong.items()}


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_nothing_runs_and_the_worker_lives_on(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    workers = start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    first = eventually(lambda: evaluator.collect(0.5))
    evaluator.release(first)
    (queue,) = [key for key in connection.smembers("rq:queues") if key != b"rq:queue:actsearch"]
    base: dict[Any, Any] = connection.hgetall(AllowedJob.key_for(job_id(RUN, job(1).evaluation, 0)))
    assert base, "a real job's hash, as kept for a minute after its end"
    connection.set(inbox_key(NO_LIST), "text")
    connection.rpush(queue, b"\xff\xfe")
    payloads = {job_id(RUN, name, number): change for number, (name, change) in enumerate(hostile(canary).items())}
    payloads[f"a-{'9' * 5_000}"] = {"data": REFUSED}
    for id, change in payloads.items():  # noqa: A001
        fields: dict[Any, Any] = {**base, b"status": b"queued", **change}
        connection.hset(AllowedJob.key_for(id), mapping=fields)
        connection.rpush(queue, id)
    evaluator.submit([job(number) for number in range(2, 5)])
    done = collect_all(evaluator, 3)
    assert sorted(done) == [job(number).evaluation for number in range(2, 5)]
    assert connection.llen(queue) == 0
    with_result = cast(list[bytes], connection.hkeys(results_key(RUN)))
    assert {key.decode() for key in with_result} == set(done), "no payload has a result"
    assert not canary.exists()
    assert workers.restarts == 0
    workers.check()
    assert workers.restarts == 0, "the same process all the time"
    log = (tmp_path / "logs" / "worker-1.log").read_text()
    assert "\nWorker one: root logged in" not in log
    assert log.count("takes again and again") == 1
    assert not [key for key in connection.scan_iter("actsearch:results:*") if RUN.encode() not in key]


def test_no_worker_listens_to_rqs_commands(
    connection: redis.Redis, start_workers: WorkerStarter, tmp_path: Path
) -> None:
    """By these whoever has the password would end a fleet with exit code 0, after which nothing starts it again."""
    workers = start_workers("one")
    evaluator = RqEvaluator(connection, QUEUED, max_retries=0)
    evaluator.submit([job(1, f"pid {tmp_path}/pid 2")])
    eventually(lambda: evaluator.collect(0.1) or (tmp_path / "pid").exists())
    commands = [{"command": "kill-horse"}, {"command": "stop-job", "job_id": job_id(RUN, job(1).evaluation, 0)}]
    for command in [*commands, {"command": "shutdown"}]:
        assert connection.publish("rq:pubsub:one", json.dumps(command)) == 0, "nobody hears it"
    assert connection.pubsub_channels() == []
    assert list(collect_all(evaluator, 1)) == [job(1).evaluation]
    evaluator.submit([job(2)])
    assert list(collect_all(evaluator, 1)) == [job(2).evaluation]
    workers.check()
    assert (workers.restarts, evaluator.status().retries) == (0, 0)


ESCAPES = "x\x1b]52;c;cm0gLXJmIH4=\x07\r\n12:00:00 evaluation forged\x9b2J\u2028\u202e\x00" + "y" * 10_000
"""Writes the clipboard, forges a line, clears the screen and turns the direction of writing."""


def assert_harmless(text: str, most: int = 2_000) -> None:
    assert "forged" in text
    assert text.isprintable()
    assert len(text) < most


def test_what_others_say_of_workers_does_nothing_to_a_terminal(connection: redis.Redis) -> None:
    said = {"environment": ESCAPES, "versions": {ESCAPES: ESCAPES}, "idles": {"": ESCAPES, ESCAPES: ESCAPES}}
    endless = {"environment": "", "versions": {}, "idles": {f"run{number}": "no" for number in range(10_000)}}
    for name, facts in ((f"a{ESCAPES}", "{}"), (f"b{ESCAPES}", json.dumps(said)), ("endless", json.dumps(endless))):
        key = f"rq:worker:{name}"
        doing = {"birth": "now", "state": "busy", "doing": f"{ESCAPES[:80]} {ESCAPES}", FIELD: facts}
        connection.hset(key, mapping=cast(dict[Any, Any], doing))
        connection.sadd(REDIS_WORKER_KEYS, key)
    connection.hset(ENVIRONMENTS_KEY, RUN, json.dumps(ENVIRONMENT.model_dump() | {"device": f"forged{ESCAPES[:80]}"}))
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1)])
    assert_harmless(evaluator.status().environment or "")
    first, second, third = queue_status(connection, RUN).workers
    (version,) = second.versions.items()
    for text in (first.name, second.name, second.environment, *second.idles.values(), *version):
        assert_harmless(text)
    assert all(text is None or text.isprintable() for text in (second.run, second.evaluation))
    assert list(third.idles) == [""], "none of ours says so much"
    (reason,) = evaluator.why_nothing_moves(1)
    assert_harmless(reason)
    for finding in doctor.server(connection):
        assert str(finding).isprintable()
        assert len(str(finding)) < 3_000


def test_what_comes_back_forges_no_line_of_a_log(
    connection: redis.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("actsearch"), "propagate", True)
    bind(connection)
    evaluator = RqEvaluator(connection, QUEUED)
    evaluator.submit([job(1), job(2)])
    failed = {"evaluation": job(1).evaluation, "error": ESCAPES[:400]}
    connection.rpush(inbox_key(RUN), json.dumps(failed))
    assert evaluator.collect(0.1) == []
    (record,) = caplog.records
    assert_harmless(record.getMessage())
    connection.rpush(inbox_key(RUN), json.dumps(failed | {"attempt": 1, "hopeless": True}))
    with pytest.raises(RunPausedError) as paused:
        evaluator.collect(0.1)
    assert_harmless(str(paused.value))
    texts = {"reason": ESCAPES[:400], "worker": ESCAPES[:150], "environment": ESCAPES[:400]}
    publish(connection, expected(job(2)).model_copy(update=texts))
    (evaluation,) = eventually(lambda: evaluator.collect(0.5))
    for text in (evaluation.reason, evaluation.worker, evaluation.environment):
        assert_harmless(text)
    assert Notice(evaluation="", error="two  words").error == "two  words", "what is printable stays as it is"


def test_a_jobs_description_does_nothing_to_a_workers_terminal(connection: redis.Redis) -> None:
    one = AllowedJob(id="a-0", connection=connection)
    one.description = ESCAPES
    assert_harmless(one.shown)
