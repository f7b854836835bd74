"""How far one controller goes: thousands of simulated workers against the real controller, server and store.

Only the training is made up (`simulated_workers.py`): identity, queue, leases, store and trace are the search's own.
Without other options 1,000 workers, batches of 500, lag 4 and formulas of two units. Killed or stopped (Ctrl-C), it
goes on where it was when called again with the same folder.

    python benchmarks/scaling.py --evaluations 100000 scaling-100000
    python benchmarks/scaling.py --evaluations 100000 --store postgresql://USER@HOST/DATABASE scaling-postgres
    python benchmarks/scaling.py --table scaling-100000         # what it found, for docs/scaling.md

Several at once with `--redis-url` share a server, and the workers of each serve all of them.

The folder gets `measurements.jsonl`, a row every 500 results, and at the end `aftermath.json`.
"""

import argparse
import cProfile
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import redis
from rich.console import Console

from actsearch.config import RunConfig
from actsearch.runs import RunFolder, change_budget, create_run
from actsearch.store import RunRecord, RunState
from actsearch.store.address import find_store
from actsearch_cli.link import Link
from actsearch_cli.live import SearchLines
from actsearch_cli.sitting import sit
from actsearch_controller.search import resume
from actsearch_workers.connection import connect, find_address
from actsearch_workers.jobs import attempts_key
from actsearch_workers.processes import start, stop
from actsearch_workers.server import LocalServer

REPORT_EVERY = 500
"""Results between two rows."""
WARM = 10_000
"""Results after which the controller's memory must not grow any more."""
WORKERS = Path(__file__).with_name("simulated_workers.py")
IDENTITIES = "actsearch_controller.identities"
Row = dict[str, Any]


# --- while it runs ---------------------------------------------------------------------------------------------------


class Meter:
    """Writes down how all processes do, every REPORT_EVERY results.

    Args:
        file: rows go to its end; each call of the program is a session.
        connection: the server.
        run: the run's id there.
    """

    def __init__(self, file: Path, connection: redis.Redis, run: str) -> None:
        self._file = file
        self._connection = connection
        self._run = run
        self._session = 1 + max((row["session"] for row in rows_of(file)), default=-1)
        self._next = 0
        self._started, self._cpu_before = time.monotonic(), cpu(resource.RUSAGE_SELF)

    def __call__(self, progress: Any) -> None:
        if progress.told < self._next and progress.told < progress.budget:
            return
        self._next = progress.told - progress.told % REPORT_EVERY + REPORT_EVERY
        memory, traffic = self._connection.info("memory"), self._connection.info("stats")
        row = {
            "session": self._session,
            "told": progress.told,
            "asked": progress.asked,
            "seconds": round(time.monotonic() - self._started, 2),
            "controller_cpu": round(cpu(resource.RUSAGE_SELF) - self._cpu_before, 2),
            **{f"{role}_cpu": round(seconds, 2) for role, seconds in cpu_of_children().items()},
            "retries": sum(map(int, self._connection.hvals(attempts_key(self._run)))),
            "rss_mb": round(rss_mb(), 1),
            "redis_mb": round(memory["used_memory"] / 1e6, 1),
            "redis_traffic_mb": round((traffic["total_net_input_bytes"] + traffic["total_net_output_bytes"]) / 1e6, 1),
        }
        with self._file.open("a", encoding="ascii") as lines:
            lines.write(json.dumps(row) + "\n")


def cpu(who: int) -> float:
    """User and system seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def cpu_of_children() -> dict[str, float]:
    """User and system seconds of the processes that this one has started, by what they do."""
    seconds = dict.fromkeys(("identities", "workers", "server"), 0.0)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            role = "identities" if IDENTITIES in command else "workers" if WORKERS.name in command else "server"
            seconds[role] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


# --- afterwards ------------------------------------------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Wall-clock seconds of a call, and CPU seconds of this process and of those that it waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    wall, used = time.monotonic(), sum(map(cpu, who))
    call()
    return {"seconds": round(time.monotonic() - wall, 3), "cpu": round(sum(map(cpu, who)) - used, 3)}


def aftermath(folder: RunFolder, options: argparse.Namespace) -> Row:
    """What those who come later wait for: opening the store, the query and the command of `status`."""
    from actsearch_cli.status import document
    from actsearch_controller.pipeline import Search

    def reopen() -> None:
        with folder.open() as (store, name):
            Search(store, name)

    command = [sys.executable, "-m", "actsearch_cli.main", "status", str(folder.path)]
    with folder.open() as (store, name):
        config, trace = store.run(name).config, store.run(name).trace
    return {
        "run": {key: getattr(config, key) for key in ("controller", "evaluations", "batch", "lag")}
        | {"units": config.space.units, "workers": options.workers, "trace": trace},
        "cores": len(os.sched_getaffinity(0)),
        "store": "SQLite" if folder.database is None else "PostgreSQL",
        "store_mb": round(folder.store.stat().st_size / 1e6, 1) if folder.store.is_file() else None,
        "status_query": timed(lambda: document(folder)),
        "status_command": timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)),
        "reopened": timed(reopen),
    }


def rows_of(file: Path) -> list[Row]:
    """The rows of a file; a last one that a kill has cut is left out."""
    lines = file.read_text(encoding="ascii").splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def sessions_of(rows: list[Row]) -> list[list[Row]]:
    return [list(group) for _, group in groupby(rows, key=lambda row: row["session"])]


def spent(rows: list[Row], key: str) -> float:
    """A figure that begins at 0 with each session, in all of them together."""
    return float(sum(session[-1][key] for session in sessions_of(rows)))


def growth(rows: list[Row]) -> str:
    """The controller's memory after WARM results of its longest session and at most after that."""
    session = max(sessions_of(rows), key=lambda rows: int(rows[-1]["told"] - rows[0]["told"]))
    warm = [row["rss_mb"] for row in session if row["told"] - session[0]["told"] >= WARM]
    if len(warm) < 2:
        return f"{session[0]['rss_mb']:.0f} to {max(row['rss_mb'] for row in session):.0f} MB, too short to tell"
    return f"{warm[0]:.0f} MB after {WARM:,}, at most {max(warm):.0f} later ({max(warm) / warm[0] - 1:+.1%})"


def table(folder: Path) -> str:
    """Rows and aftermath as Markdown."""
    rows = rows_of(folder / "measurements.jsonl")
    later = json.loads((folder / "aftermath.json").read_text(encoding="ascii"))
    run, results = later["run"], rows[-1]["told"] - rows[0]["told"]
    roles = ("controller", "identities", "workers", "server")
    each = {role: 1000 * spent(rows, f"{role}_cpu") / results for role in roles}
    cells = {
        "run": f"{run['evaluations']:,} evaluations, {run['workers']:,} workers, batch {run['batch']}, "
        f"lag {run['lag']}, units {run['units']}, `{run['controller']}`, {later['store']}, cores {later['cores']}",
        "results a second": f"{results / spent(rows, 'seconds'):.1f}",
        "CPU a result": ", ".join(f"{role} {milliseconds:.2f} ms" for role, milliseconds in each.items()),
        "the controller's memory": growth(rows),
        "Redis": f"at most {max(row['redis_mb'] for row in rows):.0f} MB, "
        f"{1000 * spent(rows, 'redis_traffic_mb') / results:.1f} kB of traffic a result",
        "store": f"{later['store_mb']} MB" if later["store_mb"] else "in the database",
        **{
            what: f"{later[key]['seconds']:.2f} s, CPU {later[key]['cpu']:.2f} s"
            for what, key in (
                ("`status`, its query", "status_query"),
                ("`status`, the command", "status_command"),
                ("search made anew from the store", "reopened"),
            )
        },
        "attempts tried again": str(rows[-1]["retries"]),
        "trace": f"`{run['trace'][:16]}…`",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {what} | {found} |" for what, found in cells.items())])


# --- the entry point -------------------------------------------------------------------------------------------------


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the run is kept; an existing one goes on")
    parser.add_argument("--evaluations", type=int, default=2000, help="may be raised when it goes on")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--lag", type=int, default=4)
    parser.add_argument("--units", type=int, default=2)
    parser.add_argument("--controller", default="random")
    parser.add_argument("--store", help="PostgreSQL database, without a password")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--redis-url", help="a server that runs already; the default is one of its own")
    parser.add_argument("--profile", type=Path, help="write cProfile's numbers of the controller's process here")
    parser.add_argument("--table", action="store_true", help="only print what an earlier run found")
    for name in ("seconds", "diverging", "failures", "deaths"):
        parser.add_argument(f"--{name}", default=None, help="see simulated_workers.py --help")
    return parser.parse_args()


def run_folder(options: argparse.Namespace) -> RunFolder:
    """The run's folder, made where it is missing."""
    path, database = options.folder.resolve(), find_store(options.store, os.environ)
    if (path / "config.toml").is_file():
        return RunFolder.at(path) if database is None else RunFolder(path, database)
    config = RunConfig.parse({
        "controller": options.controller,
        "space": {"units": options.units},
        "batch": options.batch,
        "lag": options.lag,
        "evaluations": options.evaluations,
        "seed": options.seed,
    })  # fmt: skip
    return create_run(path.parent, path.name, config, database=database)


def workers_command(options: argparse.Namespace, url: str) -> list[str]:
    given = {name: getattr(options, name) for name in ("workers", "seconds", "diverging", "failures", "deaths")}
    flags = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    return [sys.executable, str(WORKERS), url, *flags]


def drive(folder: RunFolder, options: argparse.Namespace) -> int:
    """Goes on with the run to its end, as `actsearch controller` does; returns the exit code."""
    with ExitStack() as stack:
        stack.enter_context(folder.lock())
        with folder.open() as (store, name):
            config, run = store.run(name).config, store.run(name).id
            if options.evaluations > config.evaluations:
                change_budget(folder, store, name, evaluations=options.evaluations)
        address, watch = find_address(options.redis_url, None, {}), lambda: None
        if address is None:
            server = stack.enter_context(LocalServer(folder.redis))
            address, watch = server.address, server.check
        workers = start(
            workers_command(options, address.url), log=folder.logs / "workers.log", death_signal=signal.SIGKILL
        )
        stack.callback(stop, [workers], 1.0)
        link = Link(address=address, connection=connect(address), watch=watch)
        meter = Meter(folder.path / "measurements.jsonl", link.connection, run)
        profile = cProfile.Profile() if options.profile else None

        def go_on(*args: Any, on_progress: Callable[[Any], None], **kwargs: Any) -> RunRecord | None:
            def measure(progress: Any) -> None:
                meter(progress)
                on_progress(progress)

            call = profile.runcall if profile else lambda drive, *args, **kwargs: drive(*args, **kwargs)
            record: RunRecord = call(resume, *args, on_progress=measure, **kwargs)
            return None if record.state is RunState.INTERRUPTED else record

        code = sit(folder, link, SearchLines(), go_on, console=Console(), in_flight_at_most=config.batch * config.lag)
        if profile:
            profile.dump_stats(options.profile)
    return code


def main() -> None:
    options = parsed()
    if not options.table:
        folder = run_folder(options)
        if code := drive(folder, options):
            raise SystemExit(code)
        found = json.dumps(aftermath(folder, options), indent=2)
        (folder.path / "aftermath.json").write_text(found + "\n", encoding="ascii")
    print(table(options.folder))


if __name__ == "__main__":
    main()
