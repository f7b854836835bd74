"""`actsearch doctor`: what is right has a line, what is wrong one that says what to do, and exit code 1."""

import json
import shutil
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from actsearch_cli.main import run as actsearch
from actsearch_workers import doctor
from actsearch_workers.connection import connect
from actsearch_workers.data import DATASETS, load
from actsearch_workers.doctor import Finding
from actsearch_workers.server import LocalServer
from actsearch_workers.sight import QueueStatus, WorkerState
from tests.cli.programs import assert_as_promised


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[redis.Redis]:
    with LocalServer(tmp_path / "redis") as server:
        client = connect(server.address)
        yield client
        client.close()


def by_name(findings: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def wrong(findings: Any) -> set[str]:
    found = [finding for finding in findings if finding.is_wrong]
    assert all(finding.advice for finding in found), "each says what to do"
    return {finding.name for finding in found}


def test_this_machine_is_well_and_its_data_have_their_digests(tmp_path: Path) -> None:
    found = by_name(doctor.machine(tmp_path / "data", tmp_path / "runs"))
    assert wrong(found.values()) == set()
    assert found["data digits"].found == load("digits", data_dir=tmp_path).digest[:16]
    assert "actsearch data fetch cifar10" in found["data cifar10"].found
    assert "a fork computes, with one thread" in found["fork safety"].found


def test_data_that_were_harmed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harmed = {"digits": replace(DATASETS["digits"], digest="ab" * 32)}
    monkeypatch.setattr(doctor, "DATASETS", harmed)
    finding = doctor._dataset("digits", tmp_path)
    assert finding.is_wrong
    assert finding.found == f"{DATASETS['digits'].digest[:16]}, where an unharmed copy has abababababababab"


def test_a_full_disk_and_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**8))
    assert "make room" in doctor._room("room", tmp_path / "not yet" / "made").advice
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "not writable" in doctor._room("room", tmp_path).found


@pytest.mark.parametrize("answer", ["2 262144 False", "1 262144 True", "1 nan False"])
def test_a_fork_that_computes_otherwise_is_not_safe(answer: str) -> None:
    assert doctor._fork_safety(answer).is_wrong


def test_a_server_of_ours_is_well_but_for_its_workers(connection: redis.Redis) -> None:
    found = by_name(doctor.server(connection))
    assert wrong(found.values()) == {"workers"}
    assert found["server"].found.startswith(("Valkey", "Redis"))


def test_a_server_that_forgets_is_told_how_not_to(connection: redis.Redis) -> None:
    connection.config_set("maxmemory-policy", "allkeys-lru")
    connection.config_set("appendonly", "no")
    connection.config_set("maxmemory", int(1.1 * int(connection.info()["used_memory"])))
    found = by_name(doctor.server(connection))
    assert wrong(found.values()) == {"workers", "maxmemory-policy", "appendonly", "server memory"}
    assert "CONFIG SET maxmemory-policy noeviction" in found["maxmemory-policy"].advice


def test_an_old_server_and_a_clock_that_is_wrong(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._version({"redis_version": "6.0.16"}).is_wrong
    assert not doctor._version({"redis_version": "6.2.0"}).is_wrong
    assert doctor._version({"redis_version": "7.2.4", "valkey_version": "9.1.2"}).found == "Valkey 9.1.2"
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 30)
    finding = doctor._clock(connection)
    assert finding.is_wrong
    assert "+30." in finding.found


def test_workers_of_several_kinds_are_told_apart(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = (
        WorkerState(name="one", environment="aa: torch 2.14", versions={"torch": "2.14", "timm": "1"}),
        WorkerState(
            name="two", environment="bb: torch 2.9", versions={"torch": "2.9", "timm": "1"}, idles={"run1": "torch"}
        ),
    )
    monkeypatch.setattr(doctor, "queue_status", lambda connection, run: QueueStatus(workers=workers))
    found = by_name(doctor._workers(connection))
    assert wrong(found.values()) == {"workers' torch", "environments", "idle worker"}
    assert found["workers' torch"].found == "2.14 on one; 2.9 on two"


def test_the_command_prints_a_line_each_and_exits_1_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "machine", lambda data, runs: iter([Finding(name="CPU", found="one")]))
    assert actsearch(["doctor"]) == 0
    assert capsys.readouterr().out.split() == ["ok", "CPU", "one"]
    assert actsearch(["doctor", "--json", "--redis-url", f"unix://{tmp_path}/none"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert_as_promised("doctor", document)
    assert [(finding["name"], finding["is_wrong"]) for finding in document] == [("CPU", False), ("server", True)]
    assert "--redis-url" in document[1]["advice"]
