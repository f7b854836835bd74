"""The drill's own parts, without an engine: what it reads of a server, what it takes for a broken promise."""

import copy
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import redis

from actsearch_workers.jobs import attempts_key, job_id, lease_key, publish, results_key
from actsearch_workers.queue import RqEvaluator
from tests.actsearch.stored_run import SEARCH, stored_run
from tests.integration import compose_stack
from tests.integration.compose_checks import DrillError, check_store, promises_inside, promises_of
from tests.integration.compose_drill import is_tried_again
from tests.integration.compose_stack import LOOK, TOLD, CommandError, QueueView, Stack
from tests.integration.fake_training import QUEUE_KEY, QUEUED, RUN, bind, expected, job


def test_it_looks_where_the_queue_keeps_its_books() -> None:
    assert lease_key("a-0") == compose_stack.LEASE + "a-0"
    assert fnmatch(QUEUE_KEY, compose_stack.QUEUES)
    assert fnmatch(results_key(RUN), compose_stack.RESULTS)
    assert fnmatch(attempts_key(RUN), compose_stack.ATTEMPTS)


def test_it_sees_what_is_held_what_waits_and_what_is_done(connection: redis.Redis) -> None:
    first, second, third = (job_id(RUN, job(n).evaluation, 0) for n in (1, 2, 3))
    bind(connection)
    RqEvaluator(connection, QUEUED).submit([job(1), job(2), job(3)])
    connection.lrem(QUEUE_KEY, 1, first)
    connection.set(lease_key(first), "0123456789ab-7-beef")
    publish(connection, expected(job(3)))
    connection.hset(attempts_key(RUN), mapping={"1": 2, "2": 1})
    connection.set(f"{QUEUE_KEY}:intermediate:first_seen:{first}", "0")  # a book of RQ's own
    lines: Any = connection.eval(LOOK, 0)
    view = QueueView.read("\n".join(line.decode() for line in lines))
    assert view == QueueView({first: "0123456789ab-7-beef"}, frozenset({second, third}), results=1, failed=3)


def test_it_counts_what_the_store_has(tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    counted = subprocess.run(
        [sys.executable, "-c", TOLD, folder.path / "store.sqlite"], capture_output=True, check=True
    )
    assert int(counted.stdout) == len(SEARCH)


@pytest.mark.parametrize("text", ["", "WRONGTYPE of a key", "view - -\nlease a-0", "view - -\nwhat a b", "lease a-0 b"])
def test_an_answer_that_is_no_view(text: str) -> None:
    with pytest.raises(ValueError, match="not a view"):
        QueueView.read(text)


@pytest.mark.parametrize(("failures", "is_frozen"), [(0, True), (4, True), (5, False)])
def test_a_container_is_frozen_however_busy_the_cores(
    failures: int, is_frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, ...]] = []

    def docker(_: Stack, *arguments: str) -> str:
        said.append(arguments)
        if len(said) <= failures:
            raise CommandError("unable to freeze")
        return ""

    monkeypatch.setattr(Stack, "docker", docker)
    monkeypatch.setattr("time.sleep", lambda _: None)
    stack = Stack(["docker", "compose"], ["docker"], {})
    if is_frozen:
        stack.freeze("c")
        assert said == [("pause", "c")] * (failures + 1)
    else:
        with pytest.raises(CommandError, match="unable to freeze"):
            stack.freeze("c")


def test_a_job_is_tried_again_when_a_later_attempt_of_it_is_out() -> None:
    view = QueueView({"aa-1": "one", "bb-0": "two"}, frozenset({"cc-2"}), 0, 0)
    assert is_tried_again(view, {"aa-0"}, held=True)
    assert not is_tried_again(view, {"aa-1"}, held=False)
    assert not is_tried_again(view, {"bb-0"}, held=False)
    assert is_tried_again(view, {"cc-0"}, held=False)
    assert not is_tried_again(view, {"cc-0"}, held=True)
    assert is_tried_again(view, {"bb-0", "cc-0"}, held=False)
    assert not is_tried_again(None, {"aa-0"}, held=True)


STATUS = {"state": "done", "reason": None, "evaluations": {"asked": 2, "told": 2, "by_outcome": {"trained": 2}}}
LOST = {"evaluations": {"asked": 3, "told": 2, "by_outcome": {"trained": 2}}}


@pytest.mark.parametrize(
    ("change", "keys", "error"),
    [
        ({}, ["a", "a"], "1 different"),
        ({}, ["a"], "1 rows"),
        (LOST, ["a", "b"], "'asked': 3"),
        ({"state": "paused"}, ["a", "b"], "paused"),
    ],
)
def test_a_store_that_lost_or_doubled_something(change: dict[str, Any], keys: list[str], error: str) -> None:
    check_store(STATUS, [{"evaluation": "a"}, {"evaluation": "b"}])
    with pytest.raises(DrillError, match=error):
        check_store(STATUS | change, [{"evaluation": key} for key in keys])


CONFINED: dict[str, Any] = {
    "Config": {"User": "1000:1000"},
    "HostConfig": {
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "PortBindings": {},
        "Memory": 2**31,
        "NanoCpus": 10**9,
        "PidsLimit": 256,
    },
}


@pytest.mark.parametrize(
    ("part", "value", "broken"),
    [
        ("CapDrop", None, "no capability"),
        ("CapAdd", ["NET_ADMIN"], "no capability"),
        ("Privileged", True, "no capability"),
        ("SecurityOpt", None, "no new privileges"),
        ("ReadonlyRootfs", False, "a read-only root"),
        ("PortBindings", {"6379/tcp": [{"HostPort": "6379"}]}, "no published port"),
        ("Memory", 0, "a limit of memory"),
        ("NanoCpus", 0, "a limit of cores"),
        ("PidsLimit", None, "a limit of processes"),
    ],
)
def test_a_container_that_may_do_more(part: str, value: Any, broken: str) -> None:
    assert all(promises_of(CONFINED).values())
    loose = copy.deepcopy(CONFINED)
    loose["HostConfig"][part] = value
    assert [name for name, holds in promises_of(loose).items() if not holds] == [broken]


def test_what_a_container_sees_of_itself() -> None:
    assert all(promises_inside("1000\n0000000000000000\n1\nrefused\n").values())
    assert not any(promises_inside("0\n00000000a80425fb\n0\nwritten\n").values())
