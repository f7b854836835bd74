"""Logs and metrics, as programs read them."""

import json
import logging
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import redis

from actsearch.config import RunConfig
from actsearch.errors import ConfigError
from actsearch.runs import RunFolder, create_run
from actsearch.store import VerificationRecord
from actsearch.verification import VerifySettings
from actsearch_cli.link import Link, Part, check_environment, serve_metrics
from actsearch_cli.machine import Machine
from actsearch_cli.main import run
from actsearch_cli.metrics import Metrics, address
from actsearch_workers import logs
from actsearch_workers.connection import Address, connect
from actsearch_workers.matching import ENVIRONMENTS_KEY, RUNS_KEY
from actsearch_workers.queue import RqEvaluator
from actsearch_workers.server import LocalServer
from actsearch_workers.sight import QueueStatus, Sighting, WorkerState
from tests.actsearch.stored_run import stored_run
from tests.integration.fake_training import ENVIRONMENT, bind, job
from tests.workers.test_server import free_port


@pytest.fixture
def _loggers_as_before() -> Iterator[None]:
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in logs.LOGGERS}
    yield
    logs.current.clear()
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


@pytest.mark.usefixtures("_loggers_as_before")
def test_a_line_of_json_has_the_ids_of_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", {"worker": "one"})
    logs.current.update(run="run1-ab", evaluation="cd")
    logging.getLogger("actsearch.worker").info("takes %s", "a\njob")
    logging.getLogger("actsearch.queue").warning("lost", extra={"run": "run2-ef", "evaluation": "01"})
    try:
        raise OSError("disk full")
    except OSError:
        logging.getLogger("rq.worker").exception("failed")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["worker"], first["run"], first["evaluation"]) == ("one", "run1-ab", "cd")
    assert (first["level"], first["logger"], first["message"]) == ("info", "actsearch.worker", "takes a\njob")
    assert first["time"].endswith("+00:00")
    assert (second["worker"], second["run"], second["evaluation"]) == ("one", "run2-ef", "01")
    assert "OSError: disk full" in third["exception"]


def test_no_other_format_is_known() -> None:
    with pytest.raises(ConfigError, match=r"--log-format = 'xml': right would be text or json"):
        logs.set_up("xml", {})


def test_prometheus_reads_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    metrics = Metrics(str(port))
    workers = (
        WorkerState(name="a", evaluation="cd", run="run1-ab"),
        WorkerState(name="b"),
        WorkerState(name="c", idles={"run1-ab": "device"}),
    )
    status = QueueStatus(run="run1-ab", workers=workers, queued=4, retries=2)
    metrics.show("run1", SimpleNamespace(told=17, in_flight=5), status, is_stalled=False)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert found['actsearch_evaluations_told{run="run1"}'] == "17.0"
    assert found['actsearch_attempts_tried_again{run="run1"}'] == "2.0"
    assert found['actsearch_stalled{run="run1"}'] == "0.0"
    states = {
        state: found[f'actsearch_workers{{run="run1",state="{state}"}}']
        for state in ("busy", "elsewhere_or_idle", "other_environment")
    }
    assert states == {"busy": "1.0", "elsewhere_or_idle": "1.0", "other_environment": "1.0"}
    with pytest.raises(ConfigError, match="--metrics"):
        serve_metrics(str(port))


def test_where_metrics_are_served() -> None:
    assert address("9000") == ("127.0.0.1", 9000)
    assert address("0.0.0.0:9000") == ("0.0.0.0", 9000)
    assert address("[::1]:9000") == ("::1", 9000)
    for wrong in ("", "http", "host:", "70000", "-1"):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            address(wrong)


def test_each_part_of_a_run_has_a_queue_of_its_own(tmp_path: Path) -> None:
    """A verification, bound to data of its own, leaves the environment of its run's search and finals alone."""
    settings = VerifySettings(data=("digits", "mine:data"))
    verification = cast(VerificationRecord, SimpleNamespace(number=2, plan=SimpleNamespace(settings=settings)))
    folder = create_run(tmp_path, "first", RunConfig())
    with LocalServer(tmp_path / "redis") as server, folder.open() as (store, name):
        link = Link(address=server.address, connection=connect(server.address))
        run = store.run(name).id
        parts: dict[str, Part] = {run: "search", f"{run}-finals": "finals", f"{run}-verify2": verification}
        for expected, part in parts.items():
            evaluator = link.evaluator(store, name, part)
            assert evaluator.run.id == expected
            evaluator.submit([job(1, run=name)])
        found = cast(dict[bytes, bytes], link.connection.hgetall(RUNS_KEY))
        wanted = {key.decode(): json.loads(text) for key, text in found.items()}
        assert wanted[run] == {"datasets": ["fashion-mini"], "environment": None, "user_code": False}
        assert wanted[f"{run}-finals"] == wanted[run]
        assert wanted[f"{run}-verify2"] == {
            "datasets": ["digits", "mine:data"], "environment": None, "user_code": True,
        }  # fmt: skip
        for one in wanted:
            bind(link.connection, one)
        link.evaluator(store, name, verification).submit([job(1, run=name)])
        assert store.run(name).environment is None
        link.evaluator(store, name).submit([job(1, run=name)])
        assert store.run(name).environment == ENVIRONMENT.fingerprint
        for part in ("search", "finals"):
            assert link.evaluator(store, name, part).run.wanted.environment == ENVIRONMENT.fingerprint
        first = Link(address=link.address, connection=link.connection, environment="first")
        assert link.connection.hexists(ENVIRONMENTS_KEY, run)
        again = first.evaluator(store, name)
        assert again.run.wanted.environment is None
        again.submit([job(1, run=name)])
        assert not link.connection.hexists(ENVIRONMENTS_KEY, run), "it is given up, and the next worker binds it"


def test_a_file_for_status_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = SimpleNamespace(run=SimpleNamespace(name="first"), status=QueueStatus)
    link = Link(address=Address("redis://nowhere"), connection=cast(redis.Redis, None))
    folder = RunFolder(tmp_path)
    look = link.sightings(folder, cast(RqEvaluator, evaluator), None)
    monkeypatch.setattr("actsearch_cli.link.LOOK_SECONDS", 0.0)
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", lambda *_, **__: Path("/dev/full").write_bytes(b"x"))
        look(SimpleNamespace(told=1, in_flight=5))
    assert "No space left on device" in caplog.text
    assert Sighting.read(folder.queue) is None
    look(SimpleNamespace(told=2, in_flight=4))
    found = Sighting.read(folder.queue)
    assert found is not None
    assert found.in_flight == 4


def test_workers_that_a_run_starts_may_read_its_folders_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def workers(commands: list[list[str]], *_: object) -> AbstractContextManager[SimpleNamespace]:
        started.extend(commands)
        return nullcontext(SimpleNamespace(check=None))

    monkeypatch.setattr("actsearch_workers.pool.LocalWorkers", workers)
    monkeypatch.setattr("actsearch_workers.connection.connect", lambda *_, **__: None)
    machine = Machine(devices=["cpu", "cpu"], address=Address("redis://nowhere"), allow_user_code=False)
    folder = create_run(tmp_path, "first", RunConfig(dataset="imagefolder:/own?size=32"))
    with machine.started(folder, None, ["digits", "imagefolder:/other"]):
        pass
    opened = [[b for a, b in pairwise(command) if a == "--data-root"] for command in started]
    assert opened == [["/own", "/other"]] * 2


def test_a_second_request_to_stop_while_the_workers_end_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that was stopped twice would not say how to go on with it."""
    heard: list[int] = []

    @contextmanager
    def workers(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(check=None)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)

    monkeypatch.setattr("actsearch_workers.pool.LocalWorkers", workers)
    monkeypatch.setattr("actsearch_workers.connection.connect", lambda *_, **__: None)
    machine = Machine(devices=["cpu"], address=Address("redis://nowhere"), allow_user_code=False)
    folder = create_run(tmp_path, "first", RunConfig())
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with machine.started(folder):
            pass
        assert heard == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM], "the handlers from before are back"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_environment_is_eight_hex_digits_or_first() -> None:
    for right in (None, "first", "0123abcd"):
        check_environment(right)
    for wrong in ("", "any", "0123ABCD", "0123abcde"):
        with pytest.raises(ConfigError, match="8 hex digits"):
            check_environment(wrong)


@pytest.mark.usefixtures("_loggers_as_before")
def test_a_controllers_lines_have_the_id_that_its_run_has_on_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stored_run(tmp_path)
    said: list[str] = []

    def drive(*args: object, **kwargs: object) -> int:
        said.append(logs.current["run"])
        return 0

    monkeypatch.setattr("actsearch_workers.connection.connect", lambda *args, **kwargs: None)
    monkeypatch.setattr("actsearch_cli.session.drive", drive)
    client = ["--redis-url", "redis://127.0.0.1:1/0", "--log-format", "json"]
    assert run(["controller", "--resume", "first", "--runs-dir", str(tmp_path), *client]) == 0
    with folder.open() as (store, name):
        assert said == [store.run(name).id]
