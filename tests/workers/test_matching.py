"""Runs and workers find each other by environment, on a real server without worker processes."""

import json
from collections.abc import Iterator

import pytest
import redis

from actsearch.errors import ConfigError
from actsearch_workers.connection import connect
from actsearch_workers.environment import Environment
from actsearch_workers.jobs import inbox_key
from actsearch_workers.matching import (
    AWAY_SECONDS,
    ENVIRONMENTS_KEY,
    MAX_RUNS,
    RUNS_KEY,
    SEEN_KEY,
    Matcher,
    Wanted,
    announce,
    bound_environment,
    queue_name,
    withdraw,
)
from actsearch_workers.server import LocalServer

HERE = Environment(torch="2.14.0", numpy="2.4.0", device="AMD EPYC AVX512", activations="LLVM 22")
THERE = HERE.model_copy(update={"torch": "2.9.1", "device": "NVIDIA H100"})
DIGESTS = {"digits": "ab" * 32, "mine:data": "cd" * 32}
WANTED = Wanted(datasets=("digits",))


def digest(dataset: str) -> str:
    if dataset not in DIGESTS:
        raise ConfigError(f"no data set {dataset!r} here")
    return DIGESTS[dataset]


def matcher(machine: Environment = HERE, *, allow_user_code: bool = False) -> Matcher:
    return Matcher(machine, digest, allow_user_code)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("matching") / "redis") as server:
        yield server


@pytest.fixture
def connection(server: LocalServer) -> Iterator[redis.Redis]:
    client = connect(server.address)
    yield client
    client.flushall()
    client.close()


def test_every_part_of_an_environment_decides_and_a_difference_names_it() -> None:
    whole = HERE.on("ab" * 32)
    for part in Environment.model_fields:
        other = whole.model_copy(update={part: "another"})
        assert other.fingerprint != whole.fingerprint
        assert whole.differences(other) == f"{part} another, not {getattr(whole, part)}"
    assert whole.differences(whole) == ""


def test_the_first_worker_binds_the_run_and_equal_ones_join_it(connection: redis.Redis) -> None:
    first, equal, other = matcher(), matcher(), matcher(THERE)
    assert first.look(connection) == []
    announce(connection, "run", WANTED)
    assert bound_environment(connection, "run", WANTED) is None
    queues = first.look(connection)
    bound = bound_environment(connection, "run", WANTED)
    assert bound == HERE.on(DIGESTS["digits"])
    assert queues == [queue_name(bound)] == equal.look(connection)
    assert connection.llen(inbox_key("run")) == 1, "its controller is woken up once"
    assert other.look(connection) == []
    assert other.mismatches == {"run": "torch 2.9.1, not 2.14.0; device NVIDIA H100, not AMD EPYC AVX512"}
    withdraw(connection, "run")
    assert first.look(connection) == []
    assert other.look(connection) == []
    assert other.mismatches == {}


def test_other_data_is_another_environment(connection: redis.Redis) -> None:
    announce(connection, "run", WANTED)
    matcher().look(connection)
    stale = Matcher(HERE, lambda _: "ef" * 32, allow_user_code=False)
    assert stale.look(connection) == []
    assert stale.mismatches == {"run": f"data {'ef' * 8}, not {'ab' * 8}"}


def test_a_run_with_an_environment_of_its_own_waits_for_it(connection: redis.Redis) -> None:
    wanted = Wanted(datasets=("digits",), environment=THERE.on(DIGESTS["digits"]).fingerprint)
    connection.hset(ENVIRONMENTS_KEY, "run", HERE.on(DIGESTS["digits"]).model_dump_json())  # from before
    announce(connection, "run", wanted)
    here, there = matcher(), matcher(THERE)
    assert here.look(connection) == []
    assert wanted.environment is not None
    assert here.mismatches["run"].endswith(f", not {wanted.environment}")
    assert bound_environment(connection, "run", wanted) is None, "what is bound to another one is unbound"
    assert there.look(connection) == [f"actsearch-{wanted.environment}"]
    here.look(connection)
    assert here.mismatches["run"].startswith("torch 2.14.0, not 2.9.1"), "known by now"


def test_a_machines_own_fingerprint_binds_a_run_before_its_data_are_known(connection: redis.Redis) -> None:
    """It is what a worker logs at its start."""
    wanted = Wanted(datasets=("digits",), environment=THERE.fingerprint)
    announce(connection, "run", wanted)
    here, there = matcher(), matcher(THERE)
    assert here.look(connection) == []
    assert here.mismatches["run"].endswith(f", not {THERE.fingerprint}")
    assert there.look(connection) == [queue_name(THERE.on(DIGESTS["digits"]))]
    assert bound_environment(connection, "run", wanted) == THERE.on(DIGESTS["digits"])


def test_several_data_sets_are_one_environment_in_which_each_decides(connection: redis.Redis) -> None:
    announce(connection, "run", Wanted(datasets=("digits", "mine:data"), user_code=True))
    (queue,) = matcher(allow_user_code=True).look(connection)
    assert queue != queue_name(HERE.on(DIGESTS["digits"]))
    for stale in DIGESTS:
        other = Matcher(HERE, lambda name, stale=stale: "ef" * 32 if name == stale else digest(name), True)  # type: ignore[misc]
        assert other.look(connection) == []
        assert other.mismatches["run"].startswith("data ")
    announce(connection, "more", Wanted(datasets=("digits", "cifar10")))
    worker = matcher(allow_user_code=True)
    assert worker.look(connection) == [queue]
    assert worker.mismatches == {"more": "no data set 'cifar10' here"}


def test_what_a_worker_lacks_makes_it_idle_not_fail(connection: redis.Redis) -> None:
    announce(connection, "no data", Wanted(datasets=("cifar10",)))
    announce(connection, "user code", Wanted(datasets=("mine:data",), user_code=True))
    worker = matcher()
    assert worker.look(connection) == []
    assert worker.mismatches["no data"] == "no data set 'cifar10' here"
    assert "--allow-user-code" in worker.mismatches["user code"]
    assert len(matcher(allow_user_code=True).look(connection)) == 1


def test_two_runs_in_one_environment_share_a_queue(connection: redis.Redis) -> None:
    announce(connection, "one", WANTED)
    announce(connection, "two", WANTED)
    assert len(matcher().look(connection)) == 1


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", '{"datasets": []}', '{"datasets": [""]}', json.dumps({"datasets": ["x" * 5000]}),
     json.dumps({"datasets": ["x"] * 21}), '{"datasets": ["digits"], "do": "it"}',
     '{"datasets": ["digits"], "environment": "../../etc"}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_run_is_passed_over(text: str, connection: redis.Redis) -> None:
    announce(connection, "bad", WANTED)
    connection.hset(RUNS_KEY, "bad", text)
    announce(connection, "good", WANTED)
    worker = matcher()
    assert len(worker.look(connection)) == 1
    assert worker.mismatches == {}


def test_a_forged_environment_is_not_believed(connection: redis.Redis) -> None:
    announce(connection, "run", WANTED)
    connection.hset(ENVIRONMENTS_KEY, "run", '{"torch": 1}')
    assert bound_environment(connection, "run", WANTED) is None
    assert not connection.hexists(ENVIRONMENTS_KEY, "run")


def test_runs_whose_controllers_stay_away_are_forgotten_but_not_what_they_are_bound_to(
    connection: redis.Redis,
) -> None:
    loaded: list[str] = []

    def load(name: str) -> str:
        loaded.append(name)
        return digest(name)

    worker = Matcher(HERE, load, allow_user_code=True)
    announce(connection, "away", Wanted(datasets=("mine:data",), user_code=True))
    (queue,) = worker.look(connection)
    loaded.clear()
    now, _ = connection.time()
    connection.zadd(SEEN_KEY, {"away": now - AWAY_SECONDS - 1} | {f"{n}": now - AWAY_SECONDS - 1 for n in range(2000)})
    assert worker.look(connection) == []
    assert loaded == [], "its data are not even looked at"
    announce(connection, "here", WANTED)
    assert connection.hkeys(RUNS_KEY) == connection.zrange(SEEN_KEY, 0, -1) == [b"here"]
    assert len(worker.look(connection)) == 1
    withdraw(connection, "here")
    announce(connection, "away", Wanted(datasets=("mine:data",), user_code=True))
    assert connection.hexists(ENVIRONMENTS_KEY, "away")
    assert worker.look(connection) == [queue], "back as it was"


def test_a_server_full_of_runs_is_served_no_more(connection: redis.Redis) -> None:
    now, _ = connection.time()
    connection.zadd(SEEN_KEY, {str(number): now for number in range(MAX_RUNS + 1)})
    worker = matcher()
    assert worker.look(connection) == []
    assert f"more than {MAX_RUNS} runs" in worker.mismatches[""]
