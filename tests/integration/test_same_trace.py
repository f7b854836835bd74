"""Same seed, same search: real searches end alike, bit for bit, whatever their workers, delays, stops and kills.

Each is `actsearch search` as a process with a server and workers of its own, which train `nf_resnet8` on the embedded
digits; they are compared with the search that this process does by itself. Told so few rewards a policy hardly moves at
its usual step size; here it learns fast enough to matter.
"""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from actsearch.config import RunConfig, read_toml
from actsearch.runs import create_run
from actsearch.space import Space
from actsearch_controller.controllers import build_controller
from actsearch_controller.search import resume
from actsearch_workers.in_process import InProcessEvaluator
from tests.integration.conftest import command, eventually
from tests.integration.course import RUN, Course, children, course, told, trainings

CONFIG = """
seed = 2
evaluations = 12
batch = 3
lag = 2
dataset = "digits"
recipe.steps = 5
ppo.learning_rate = 0.1
"""
IN_FLIGHT = 6
"""lag x batch: the evaluations that are asked for before any is told."""
MEAN_DELAY_SECONDS = 1.0
LAST_DELAY = 4
"""The last seed that is tried for delays that change the order of results."""
PATIENCE_SECONDS = 600
"""A search took a minute on two cores at a load of 7, four at a load of 12."""

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Variables under which a search writes no report, as without the `reports` extra, to save time."""
    folder = tmp_path_factory.mktemp("without_reports")
    (folder / "matplotlib.py").write_text("raise ModuleNotFoundError('no matplotlib here', name='matplotlib')")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class SearchProcess:
    """`actsearch search` in a folder; killed at the end of the `with` if it still runs, and all it started with it."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            command("search", *arguments, "--json"),
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "SearchProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def workers(self) -> list[int]:
        """Process ids of its workers."""
        return [pid for pid in children(self._process.pid) if b"\0worker\0" in _command_line(pid)]

    @property
    def trainings(self) -> list[int]:
        """Process ids of the children in training."""
        return trainings(self.workers)

    def wait_for(self, results: int) -> None:
        """Until so many are in the store."""
        runs_dir = self._folder / "runs"
        eventually(lambda: told(runs_dir) >= results or self._process.poll() is not None, PATIENCE_SECONDS)
        assert told(runs_dir) >= results, "it ended early"

    def end(self, code: int = 0) -> dict[str, Any]:
        """What it prints at its end, with the exit code that is expected."""
        out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        assert self._process.returncode == code, err
        document: dict[str, Any] = json.loads(out)
        return document

    def course(self) -> Course:
        """The whole run, when it is done."""
        printed = self.end()
        run = course(self._folder / "runs")
        assert (printed["state"], printed["trace"]) == ("done", run.trace)
        return run

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        assert self.end(code=130)["state"] == "interrupted"

    def kill(self) -> None:
        """SIGKILL to the search, its server, workers and trainings at once: none has time for a last word."""
        for pid in [self._process.pid, *children(self._process.pid), *self.trainings]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _command_line(pid: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def delays(search: SearchProcess, seed: int) -> Iterator[None]:
    """Meanwhile, one after another, a worker or its training stands still for a random time."""
    rng, over = random.Random(seed), Event()

    def delay() -> None:
        while not over.is_set():
            if processes := [*search.workers, *search.trainings]:
                pid = rng.choice(processes)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    over.wait(rng.expovariate(1 / MEAN_DELAY_SECONDS))
                    os.kill(pid, signal.SIGCONT)
            over.wait(rng.expovariate(5 / MEAN_DELAY_SECONDS))

    thread = Thread(target=delay)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def new_run(folder: Path, *arguments: str) -> list[str]:
    """Arguments that start a search with this file's settings, and with what the arguments change of them."""
    config = folder / "config.toml"
    config.write_text(CONFIG)
    return [str(config), "--run", RUN, *arguments]


def search(folder: Path, environment: Mapping[str, str], *arguments: str, delay: int | None = None) -> Course:
    """A whole search; with a seed for `delays`, one whose results came in another order than they were asked for in.

    Delays at random may hit nothing that matters: then it is done again with the next seed, a few times.
    """
    with (
        SearchProcess(folder, environment, *new_run(folder, *arguments)) as process,
        nullcontext() if delay is None else delays(process, delay),
    ):
        found = process.course()
    if delay is None or found.arrivals != sorted(found.arrivals) or delay >= LAST_DELAY:
        return found
    again = folder / "again"
    again.mkdir()
    return search(again, environment, *arguments, delay=delay + 1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The search without queue or workers: every result comes in the order asked."""
    folder = tmp_path_factory.mktemp("undisturbed")
    new_run(folder)
    config = RunConfig.parse(read_toml(folder / "config.toml"))
    with create_run(folder / "runs", RUN, config).open() as (store, name):
        resume(store, name, InProcessEvaluator(folder))
    run = course(folder / "runs")
    assert run.arrivals == list(range(1, 13))
    return run


def test_rewards_decide_what_is_proposed(undisturbed: Course, tmp_path: Path) -> None:
    """Otherwise this file would show nothing: a controller that is told nothing proposes other formulas."""
    (tmp_path / "config.toml").write_text(CONFIG)
    config = RunConfig.parse(read_toml(tmp_path / "config.toml"))
    untold = build_controller(config, Space(config.space))
    asked = [formula.tokens for _ in undisturbed.batches for formula in untold.ask(config.batch)]
    proposed = [proposal.tokens for proposal in undisturbed.proposals]
    assert proposed[:IN_FLIGHT] == asked[:IN_FLIGHT]
    assert proposed[IN_FLIGHT:] != asked[IN_FLIGHT : len(proposed)]
    assert len({proposal.reward for proposal in undisturbed.proposals[:IN_FLIGHT]}) > IN_FLIGHT / 2


@pytest.mark.slow
def test_results_in_another_order(undisturbed: Course, environment: Mapping[str, str], tmp_path: Path) -> None:
    """One of two workers stands still over its first child until the other has done all else there is to do."""
    with SearchProcess(tmp_path, environment, *new_run(tmp_path, "--workers", "2")) as process:
        training = eventually(lambda: process.trainings, PATIENCE_SECONDS)[0]
        os.kill(training, signal.SIGSTOP)
        process.wait_for(IN_FLIGHT - 1)
        os.kill(training, signal.SIGCONT)
        run = process.course()
    assert run == undisturbed
    assert run.arrivals[IN_FLIGHT - 1] in (1, 2), "the second batch was there before the first"
    assert len(run.workers) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "delay"), [(1, None), (2, None), (4, None), (4, 0)])
def test_any_number_of_workers(
    workers: int, delay: int | None, undisturbed: Course, environment: Mapping[str, str], tmp_path: Path
) -> None:
    run = search(tmp_path, environment, "--workers", str(workers), delay=delay)
    assert run == undisturbed
    assert (len(run.workers) == 1) == (workers == 1)
    assert workers > 1 or run.arrivals == undisturbed.arrivals
    assert delay is None or run.arrivals != sorted(run.arrivals)


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "before", "after"), [(SearchProcess.interrupt, 1, 2), (SearchProcess.kill, 2, 1)])
def test_stopped_in_the_middle_and_resumed(
    stop: Callable[[SearchProcess], None],
    before: int,
    after: int,
    undisturbed: Course,
    environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    with SearchProcess(tmp_path, environment, *new_run(tmp_path, "--workers", str(before))) as process:
        process.wait_for(5)
        stop(process)
    with SearchProcess(tmp_path, environment, "--resume", RUN, "--workers", str(after)) as process:
        run = process.course()
    assert run == undisturbed
    assert len(run.workers) > 1


@pytest.mark.slow
def test_another_seed(undisturbed: Course, environment: Mapping[str, str], tmp_path: Path) -> None:
    run = search(tmp_path, environment, "--workers", "2", "--seed", "3")
    assert run.trace != undisturbed.trace
    assert {row["seed"] for row in run.evaluations}.isdisjoint(row["seed"] for row in undisturbed.evaluations)


@pytest.mark.slow
def test_two_units(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    one, three = (
        search(tmp_path_factory.mktemp("two_units"), environment, "--units", "2", "--workers", workers, delay=delay)
        for workers, delay in (("1", None), ("3", 1))
    )
    assert three == one
    assert three.arrivals != one.arrivals
    assert all(len(proposal.tokens) > 3 for proposal in one.proposals)
