"""A drill under Docker Compose: whatever happens to the containers, the search ends as if nothing had happened.

    docker compose build
    sudo python3 -m tests.integration.compose_drill

It needs Docker, Python, and root on the engine's machine, since it kills containers by their process ids. It runs one
search in peace and the same search under faults, prints what followed each, and exits 0 only if both end with the same
trace and equal evaluations, none lost and none twice. Its containers and volumes are a project of their own.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tests.integration.compose_checks import DrillError, check_confinement, check_store
from tests.integration.compose_stack import CommandError, QueueView, Stack

PEACE, DRILL = "peace", "drill"
"""Names of the two runs."""
WORKERS = 2
OUTAGE_SECONDS = 20
"""How long the controller or the server is away, where no restart ends it: longer than a lease."""
PATIENCE_SECONDS = 600
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Something that happens to a container, and what ends it."""

    name: str
    begin: Callable[[Stack, str], object]
    end: Callable[[Stack, str], object] | None = None
    """None: the engine starts the container again by itself."""


KILLED = Fault("killed", Stack.kill)
RESTARTED = Fault("restarted", lambda stack, container: stack.docker("restart", container))
FROZEN = Fault("frozen", Stack.freeze, lambda stack, container: stack.docker("unpause", container))
CUT_OFF = Fault("cut off the network", Stack.disconnect, Stack.connect)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def until(look: Callable[[], T | None], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first answer of `look` that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise DrillError(f"not within {seconds:g} s: {what}")
        time.sleep(0.5)
    return answer


def look(stack: Stack) -> QueueView | None:
    """What the server of a search knows that must still be on."""
    view = stack.queue()
    if view is not None and not view.leases and stack.has_ended("controller"):
        raise DrillError("the search was over before the drill: give it more --evaluations")
    return view


def take_of_a_job(stack: Stack) -> tuple[str, str]:
    """Waits until a worker takes a job; the job's id and the worker's name."""
    before = until(stack.queue, "the server answers").leases

    def taken() -> tuple[str, str] | None:
        view = look(stack)
        new = [] if view is None else sorted(set(view.leases.items()) - set(before.items()))
        # A worker that was let back may hold again what another attempt is out for already.
        return next((one for one in new if not is_tried_again(view, [one[0]], held=False)), None)

    return until(taken, "a worker takes a job")


def is_tried_again(view: QueueView | None, jobs: Iterable[str], *, held: bool) -> bool:
    """Whether a later attempt at one of the jobs is out: held by a worker, or at least waiting for one."""
    if view is None:
        return False
    attempts = {evaluation: int(attempt) for evaluation, _, attempt in (job.rpartition("-") for job in jobs)}
    others = (other.rpartition("-") for other in (view.leases if held else [*view.leases, *view.queued]))
    return any(evaluation in attempts and int(attempt) > attempts[evaluation] for evaluation, _, attempt in others)


def serves(stack: Stack, container: str) -> bool:
    """Whether the worker in a container holds a job; a worker's name begins with its host's, the container's short id."""
    view = look(stack)
    return view is not None and any(worker.startswith(container[:12]) for worker in view.leases.values())


def lose_worker(stack: Stack, fault: Fault, within: float) -> None:
    """A worker that has just taken a job is lost; the job must be out again in time, and run elsewhere meanwhile."""
    job, worker = take_of_a_job(stack)
    container = next(c for c in stack.containers("worker") if worker.startswith(c[:12]))
    fault.begin(stack, container)
    begun = time.monotonic()
    view = until(stack.queue, "the server answers")
    others = {held for held, holder in view.leases.items() if holder == worker}  # it may have taken another
    jobs = {job, *(other for other in others if not is_tried_again(view, [other], held=False))}
    until(lambda: is_tried_again(stack.queue(), jobs, held=False), f"the job of {worker} is out again")
    noticed = time.monotonic() - begun
    until(lambda: is_tried_again(stack.queue(), jobs, held=True), f"the job of {worker} runs elsewhere")
    say(f"worker {fault.name}: its job was out again after {noticed:.1f} s, ran after {time.monotonic() - begun:.1f} s")
    if noticed > within:
        raise DrillError(f"a lost worker's job must be out again within {within:g} s")
    if fault.end is not None:
        fault.end(stack, container)
        begun = time.monotonic()
    until(lambda: serves(stack, container), f"the worker in {container[:12]} serves again")
    say(f"worker {fault.name}: took a job again {time.monotonic() - begun:.1f} s after the fault's {_end_of(fault)}")


def disturb(stack: Stack, service: str, fault: Fault) -> None:
    """Something happens to the controller or the server; the search must go on."""
    take_of_a_job(stack)
    (container,) = stack.containers(service)
    fault.begin(stack, container)
    if fault.end is not None:
        time.sleep(OUTAGE_SECONDS)
        fault.end(stack, container)
    begun = time.monotonic()
    told = until(lambda: stack.told(DRILL), "the controller answers")
    take_of_a_job(stack)
    taken = time.monotonic() - begun
    until(lambda: stack.told(DRILL) > told or stack.has_ended("controller"), "a result is told")
    told_after = time.monotonic() - begun
    end = _end_of(fault)
    say(f"{service} {fault.name}: a job was taken {taken:.1f} s, a result told {told_after:.1f} s after its {end}")


def _end_of(fault: Fault) -> str:
    return "start" if fault.end is None else "end"


def scale(stack: Stack, workers: int) -> None:
    """More workers, or fewer: those that go finish the child at hand."""
    failed = until(stack.queue, "the server answers").failed
    begun = time.monotonic()
    stack.compose("up", "--detach", "--no-recreate", "--no-deps", "--scale", f"worker={workers}", "worker")
    scaled = time.monotonic() - begun
    containers = stack.containers("worker")
    if len(containers) != workers:
        raise DrillError(f"{len(containers)} workers where {workers} were asked for")
    for container in containers:
        until(partial(serves, stack, container), "every worker serves")
    say(f"scaled to {workers} workers: in {scaled:.1f} s, each had a job after {time.monotonic() - begun:.1f} s")
    if until(stack.queue, "the server answers").failed != failed:
        raise DrillError("scaling lost a job")


def start(stack: Stack, run: str) -> None:
    """Start a run, and all that it needs."""
    begun = time.monotonic()
    stack.compose("up", "--detach", "--scale", f"worker={WORKERS}", ACTSEARCH_RUN=run)
    say(f"run {run}: started with {WORKERS} workers in {time.monotonic() - begun:.1f} s")


def finish(stack: Stack, run: str) -> tuple[str, list[dict[str, Any]]]:
    """Wait for a run's end; its trace, and its evaluations without their seconds."""
    until(lambda: stack.has_ended("controller"), "the controller ends", 6 * PATIENCE_SECONDS)
    status = stack.read_run("status", run, "--json")
    rows = stack.read_run("export", run, "--format", "json")
    check_store(status, rows)
    view = until(partial(idle, stack), "no job is left in the queue")
    trace, seconds = status["trace"], status["seconds"]
    say(f"run {run}: {len(rows)} evaluations in {seconds:.0f} s, trace {trace}")
    say(f"run {run}: {view.results} late results left on the server")
    return trace, [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def idle(stack: Stack) -> QueueView | None:
    """What the server knows, once no job waits or is held."""
    view = stack.queue()
    return None if view is None or view.leases or view.queued else view


def drill(stack: Stack, within: float) -> None:
    """Everything that can happen, one after the other, to a search that is on."""
    take_of_a_job(stack)
    say(f"confined, by docker inspect and from inside: {', '.join(check_confinement(stack))}")
    scale(stack, 4)
    for fault in (KILLED, CUT_OFF, FROZEN):
        lose_worker(stack, fault, within)
    scale(stack, 2)
    for fault in (KILLED, CUT_OFF):
        disturb(stack, "controller", fault)
    for fault in (RESTARTED, KILLED, CUT_OFF):
        disturb(stack, "redis", fault)


def compare(stack: Stack, within: float, trace: str | None) -> None:
    """The search under faults, against the one in peace or that one's trace."""
    stack.compose("down", "--volumes", "--timeout", "10")
    say(stack.versions())
    peace = None
    if trace is None:
        start(stack, PEACE)
        peace = finish(stack, PEACE)
    start(stack, DRILL)
    drill(stack, within)
    say("nothing more happens")
    found = finish(stack, DRILL)
    is_same = found[0] == trace if peace is None else found == peace
    if not is_same:
        raise DrillError("the disturbed search is another one")
    say("the same search, bit for bit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compose", default="docker compose", help="the command, run in the current folder")
    parser.add_argument("--docker", default="docker", help="the command")
    parser.add_argument("--evaluations", type=int, default=120, help="enough that the search outlasts the drill")
    parser.add_argument("--dataset", default="fashion-mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trace", help="the undisturbed search's, where it is known: saves that search")
    parser.add_argument("--within", type=float, default=15, help="seconds until a lost worker's job is out again")
    parser.add_argument("--keep", action="store_true", help="leave the containers and volumes as they are at the end")
    given = parser.parse_args()
    settings = {
        "ACTSEARCH_EVALUATIONS": str(given.evaluations),
        "ACTSEARCH_DATASET": given.dataset,
        "ACTSEARCH_SEED": str(given.seed),
        "ACTSEARCH_DEVICE": "cpu",
    }
    stack = Stack(shlex.split(given.compose), shlex.split(given.docker), settings)
    try:
        compare(stack, given.within, given.trace)
    except (DrillError, CommandError, PermissionError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    finally:
        if not given.keep:
            stack.compose("down", "--volumes", "--timeout", "10")
    return 0


if __name__ == "__main__":
    sys.exit(main())
