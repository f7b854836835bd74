"""Whatever dies, stops, fills up or is cut off: a search ends as if nothing had happened.

Real processes: a server with an append-only file, `actsearch controller --or-resume` and `actsearch worker`, each
replaced when it dies. After every disturbance the run is compared with the undisturbed one: the trace, every evaluation
with its curve and histograms, every proposal and update; nothing may be lost, and nothing counted twice.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from actsearch.runs import RunFolder
from actsearch_workers.jobs import lease_key, results_key
from tests.integration.chaos.cluster import Cluster, fill, hurt, pause
from tests.integration.conftest import eventually
from tests.integration.course import RUN, Course, children, course, leads_group

CONFIG = """
seed = 4
evaluations = {evaluations}
batch = 4
lag = 2
dataset = "digits"
recipe.steps = 60
ppo.learning_rate = 0.1
"""
SHORT, LONG = 64, 300
"""Evaluations of a search."""
KILLS, MANY_KILLS = 10, 100
PATIENCE_SECONDS = 900
ELSEWHERE_SECONDS = 15
"""Within this time a lost worker is noticed, and its job runs elsewhere."""

pytestmark = pytest.mark.timeout(3 * PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Course]:
    """The search of these settings as one worker does it in peace."""
    known: dict[str, Course] = {}

    def run(config: str) -> Course:
        if config not in known:
            with Cluster(tmp_path_factory.mktemp("undisturbed"), config, workers=1) as cluster:
                cluster.wait(PATIENCE_SECONDS)
            known[config] = course(cluster.runs_dir)
        return known[config]

    return run


def end_of(cluster: Cluster) -> Course:
    """The run of a cluster, when it has ended: its store is whole, and the server holds nothing of it any more."""
    cluster.wait(PATIENCE_SECONDS)
    with closing(sqlite3.connect(cluster.runs_dir / RUN / "store.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []
    with RunFolder(cluster.runs_dir / RUN).open() as (opened, run):
        run_id = opened.run(run).id
    with cluster.client() as client:
        assert client.hlen(results_key(run_id)) == 0, "the store has all results, and the server was told"
    return course(cluster.runs_dir)


# --- anything may die, at any time -----------------------------------------------------------------------------------


TEN_KILLS = {"training": 4, "worker": 3, "controller": 2, "server": 1}
STANDSTILLS = ("worker", "controller", "server")
"""With each ten kills, one of each."""


class Kills:
    """Deaths and standstills of a cluster's processes, in random order, each while the cluster is at work.

    A process takes seconds to start: deaths that follow faster would meet nothing but beginnings.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster, self._rng = cluster, random.Random(seed)

    def do(self, kills: int) -> None:
        """All of them, ten and ten."""
        deaths = [(signal.SIGKILL, kind) for kind, count in TEN_KILLS.items() for _ in range(count)]
        events = [*deaths, *((signal.SIGSTOP, kind) for kind in STANDSTILLS)]
        for done in range(0, kills, sum(TEN_KILLS.values())):
            for number, kind in self._rng.sample(events, len(events)):
                self._at_work("training")
                assert not self._cluster.is_done.wait(self._rng.expovariate(1)), f"it ended after {done} kills"
                self._hurt(number, self._rng.choice(self._at_work(kind)))

    def _at_work(self, kind: str) -> list[int]:
        """Process ids, as soon as there is one."""
        found = eventually(lambda: self._victims(kind) or self._cluster.is_done.is_set())
        assert isinstance(found, list), "it ended too early"
        return found

    def _victims(self, kind: str) -> list[int]:
        if kind == "training":
            return self._cluster.trainings
        if kind == "worker":
            return self._cluster.workers
        pid = self._cluster.places[kind].pid
        return [] if pid is None else [pid]

    def _hurt(self, number: signal.Signals, pid: int) -> None:
        if number == signal.SIGSTOP:  # longer than a lease: it comes back to a job that another one has
            pause(lambda: [pid], self._rng.uniform(1, 12))
        else:
            hurt([pid], number)


@pytest.mark.parametrize(
    ("evaluations", "kills"),
    [
        pytest.param(SHORT, KILLS, marks=pytest.mark.slow),
        pytest.param(LONG, MANY_KILLS, marks=pytest.mark.long),
    ],
)
def test_random_kills(
    evaluations: int,
    kills: int,
    undisturbed: Callable[[str], Course],
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    config = CONFIG.format(evaluations=evaluations)
    with Cluster(tmp_path, config, workers=2) as cluster:
        Kills(cluster, seed=kills).do(kills)
        at_last_kill = cluster.told
        run = end_of(cluster)
    record_property("told at the last kill", at_last_kill)
    assert run == undisturbed(config)
    assert cluster.places["controller"].starts > kills // 10 * TEN_KILLS["controller"]


@pytest.mark.long
def test_a_lost_worker_is_noticed_and_its_job_runs_elsewhere(
    undisturbed: Callable[[str], Course], record_property: Callable[[str, object], None], tmp_path: Path
) -> None:
    """A worker and its training stand still, as if their machine had gone: no connection is closed, nothing is said.

    There are fewer jobs than workers, so that the time is not that which another worker takes for a child of its own.
    """
    config = CONFIG.format(evaluations=2).replace("steps = 60", "steps = 400")
    with Cluster(tmp_path, config, workers=3) as cluster:
        with cluster.client() as client:
            held = eventually(lambda: _held(cluster, client))
            assert held is not None, "eventually"
            place, job = held
            victim = cluster.places[place].pid
            assert victim is not None
            began = time.monotonic()
            hurt([victim, *children(victim)], signal.SIGSTOP)
            eventually(lambda: _holder(client, job, attempt=1) not in ("", place), 120)
            seconds = time.monotonic() - began
        hurt([victim], signal.SIGKILL)
        record_property("seconds", round(seconds, 1))
        assert seconds <= ELSEWHERE_SECONDS
        run = end_of(cluster)
    assert run == undisturbed(config)
    assert cluster.tried_again >= 1


def _held(cluster: Cluster, client: redis.Redis) -> tuple[str, str] | None:
    """A worker's place, and the job that its training is at: told apart by RQ's id without the attempt."""
    for key in client.scan_iter(match=lease_key("*-0")):
        place = _holder(client, key.decode().removeprefix(lease_key("")).removesuffix("-0"), attempt=0)
        pid = cluster.places[place].pid if place else None
        if pid is not None and any(leads_group(child) for child in children(pid)):
            return place, key.decode().removeprefix(lease_key("")).removesuffix("-0")
    return None


def _holder(client: redis.Redis, job: str, attempt: int) -> str:
    """The place of the worker that holds an attempt of a job; empty where none does."""
    holder = client.get(lease_key(f"{job}-{attempt}")) or b""
    assert isinstance(holder, bytes)
    return holder.decode().rpartition("-")[0]


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_server_out_of_memory(undisturbed: Callable[[str], Course], tmp_path: Path) -> None:
    """It refuses whatever would take more: jobs, results, heartbeats."""
    config = CONFIG.format(evaluations=SHORT)
    with Cluster(tmp_path, config, workers=2) as cluster:
        for told in (4, 12):
            cluster.wait_for(told)
            with cluster.client() as client:
                before = _refused(client)
                client.config_set("maxmemory", 1)
                time.sleep(10)
                client.config_set("maxmemory", 0)
                assert _refused(client) > before
        run = end_of(cluster)
    assert run == undisturbed(config)


def _refused(client: redis.Redis) -> int:
    """How many commands a server has refused for want of memory."""
    errors: dict[str, dict[str, int]] = client.info("errorstats")
    return errors.get("errorstat_OOM", {}).get("count", 0)


@pytest.mark.long
def test_a_server_started_again_from_its_file(undisturbed: Callable[[str], Course], tmp_path: Path) -> None:
    config = CONFIG.format(evaluations=SHORT)
    with Cluster(tmp_path, config, workers=2) as cluster:
        for told in (3, 9, 15):
            cluster.wait_for(told)
            pid = cluster.places["server"].pid
            hurt([pid] if pid else [], signal.SIGKILL)
        run = end_of(cluster)
    assert cluster.places["server"].starts == 4
    assert run == undisturbed(config)


# --- what only root can break ----------------------------------------------------------------------------------------


@pytest.fixture
def cable() -> Iterator[tuple[str, list[str], Callable[[str], None]]]:
    """A network namespace on a cable: the host's address on it, the command that runs another there, its switch."""
    name, host, there = f"chaos{os.getpid()}", "10.213.77.1", "10.213.77.2"
    ours, theirs = f"c{os.getpid()}a"[-15:], f"c{os.getpid()}b"[-15:]
    try:
        _root("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"no network namespaces here: {err}")
    try:
        _root("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _root("ip", "address", "add", f"{host}/30", "dev", ours)
        _root("ip", "link", "set", ours, "up")
        inside = ["ip", "netns", "exec", name]
        _root(*inside, "ip", "address", "add", f"{there}/30", "dev", theirs)
        _root(*inside, "ip", "link", "set", theirs, "up")
        yield host, inside, lambda state: _root("ip", "link", "set", ours, state)
    finally:
        subprocess.run(["ip", "link", "delete", ours], capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.mark.long
def test_a_network_that_is_cut(
    cable: tuple[str, list[str], Callable[[str], None]], undisturbed: Callable[[str], Course], tmp_path: Path
) -> None:
    """For longer than a lease: the worker beyond trains on, its job goes elsewhere, and its result comes late."""
    host, inside, switch = cable
    config = CONFIG.format(evaluations=SHORT)
    with Cluster(tmp_path, config, workers=2, bind=host, wrap={"worker-2": inside}) as cluster:
        for told, seconds in ((4, 20), (12, 5)):
            cluster.wait_for(told)
            switch("down")
            time.sleep(seconds)
            switch("up")
        run = end_of(cluster)
    assert run == undisturbed(config)
    assert len(run.workers) > 1
    assert cluster.tried_again >= 1, "the job beyond the cut went elsewhere"


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size."""
    folder.mkdir()
    try:
        _root("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "chaos", str(folder))
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"no mounts here: {err}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@pytest.mark.long
@pytest.mark.parametrize("full", ["runs_dir", "server_dir"])
def test_a_full_disk(full: str, undisturbed: Callable[[str], Course], tmp_path: Path) -> None:
    """Of the controller, then of the server: both wait or start again until somebody makes room."""
    config = CONFIG.format(evaluations=SHORT)
    with (
        small_disk(tmp_path / "disk", 40_000) as disk,
        Cluster(
            tmp_path,
            config,
            workers=2,
            runs_dir=disk if full == "runs_dir" else None,
            server_dir=disk if full == "server_dir" else None,
        ) as cluster,
    ):
        cluster.wait_for(6)
        client = cluster.client()  # a new one would be refused, its first ping too
        ballast = disk / "ballast"
        fill(ballast)
        time.sleep(5)
        told, starts = cluster.told, cluster.places["controller"].starts
        assert told >= 6
        time.sleep(15)
        assert cluster.told == told, "it went on with a full disk"
        if full == "server_dir":
            assert client.info("persistence")["aof_last_write_status"] == "err"
        else:
            assert cluster.places["controller"].starts > starts, "it ended, and was started again"
        ballast.unlink()
        client.close()
        run = end_of(cluster)
        assert run == undisturbed(config)


def _root(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


# --- clocks ----------------------------------------------------------------------------------------------------------


class Clock:
    """The wall clock of the processes that have its environment, hours off the machine's."""

    def __init__(self, library: Path, file: Path, hours: int) -> None:
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}
        self._file, self._hours = file, 0
        self.step(hours)

    def step(self, hours: int) -> None:
        self._hours += hours
        self._file.write_text(f"{3600 * self._hours}\n")

    def is_shown(self, seconds: float) -> bool:
        """Whether a time is this clock's and not the machine's, by a minute."""
        return abs(seconds - time.time() - 3600 * self._hours) < 60


@pytest.mark.long
def test_clocks_that_step(undisturbed: Callable[[str], Course], tmp_path: Path) -> None:
    """Each machine has a clock of its own, hours off the others', that jumps by a day while the search runs."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: apt-get install gcc libc6-dev")
    library = tmp_path / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, Path(__file__).with_name("clock.c")], check=True)
    clocks = {
        name: Clock(library, tmp_path / f"clock-{name}", hours)
        for name, hours in {"server": -1, "controller": 5, "worker-1": -7, "worker-2": 30}.items()
    }
    shown = subprocess.check_output(
        [sys.executable, "-c", "import time; print(time.time())"], env={**os.environ, **clocks["worker-2"].environment}
    )
    assert clocks["worker-2"].is_shown(float(shown))
    config = CONFIG.format(evaluations=SHORT)
    environment = {name: clock.environment for name, clock in clocks.items()}
    with Cluster(tmp_path, config, workers=2, environment=environment) as cluster:
        for told, hours in ((4, 24), (10, -48), (16, 24)):
            cluster.wait_for(told)
            for clock in clocks.values():
                clock.step(hours)
            with cluster.client() as client:
                assert clocks["server"].is_shown(client.time()[0])
        run = end_of(cluster)
    assert run == undisturbed(config)
    assert {name: place.starts for name, place in cluster.places.items()} == dict.fromkeys(cluster.places, 1)
    assert cluster.tried_again == 0, "no clock decides that a worker is lost"
