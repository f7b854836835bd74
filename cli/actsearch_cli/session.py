"""One sitting at a run: hold its folder, drive its search, show how it goes, write the report at the end."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from actsearch.runs import RunFolder
from actsearch.store import RunState, Store
from actsearch_cli.live import View
from actsearch_cli.status import document

if TYPE_CHECKING:
    import redis

INTERRUPTED = 130
"""Exit code of a search that was stopped on request."""


def drive(
    folder: RunFolder,
    connection: "redis.Redis",
    *,
    watch: Callable[[], None] = lambda: None,
    as_json: bool = False,
) -> int:
    """Drives a run's search to its end on the workers behind a server; returns the exit code.

    Args:
        folder: the run; the caller holds its lock.
        connection: the server.
        watch: looks after what was started for the run, every few seconds.
        as_json: print one JSON document at the end and nothing else.
    """
    from actsearch_controller.search import resume
    from actsearch_workers.queue import RqEvaluator

    console = Console(stderr=as_json, quiet=as_json)
    with folder.open() as (store, name), _stopping() as stop:
        evaluator = RqEvaluator(connection, name, watch=watch)
        with View(console, evaluator.status) as view:

            def on_progress(progress: Any) -> None:
                if folder.stop_file.exists():
                    stop.set()
                view(progress)

            record = resume(store, name, evaluator, stop=stop, on_progress=on_progress)
        _conclude(folder, store, name, console, as_json)
    return INTERRUPTED if record.state is RunState.INTERRUPTED else 0


@contextmanager
def _stopping() -> Iterator[Event]:
    """An event that the first SIGINT or SIGTERM sets; a second SIGINT interrupts at once."""
    stop = Event()

    def request(number: int, frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    with ExitStack() as restore:
        for number in (signal.SIGINT, signal.SIGTERM):
            restore.callback(signal.signal, number, signal.signal(number, request))
        yield stop


def _conclude(folder: RunFolder, store: Store, name: str, console: Console, as_json: bool) -> None:
    """Prints what came of it, and where the report is."""
    page = _write_report(folder, store, name)
    if as_json:
        print(json.dumps(document(folder) | {"report": page}, indent=2, ensure_ascii=False))
        return
    from actsearch_reports.tables import top_functions

    record, summary = store.run(name), store.summary(name)
    table = Table(title="best functions, few trainings each: a table of luck until finals", box=None)
    for column in ("rank", "accuracy", "trainings", "function", "known as"):
        table.add_column(column, justify="left" if column in ("function", "known as") else "right")
    for row in top_functions(store.evaluations(name, layers=False), 10):
        cells = (str(row.rank), f"{row.val_accuracy:.2%}", str(row.trainings), row.canonical, ", ".join(row.names))
        table.add_row(*cells)
    console.print(table)
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in summary.by_outcome.items())
    lines = {
        "state": record.state.value + (f": {record.reason}" if record.reason else ""),
        "evaluations": f"{summary.told} ({counts}) in {record.seconds:.0f} s",
        "trace": record.trace or "nothing told yet",
        "run": str(folder.shown),
        "report": page or "not written: matplotlib or jinja2 is not installed (extra `reports`)",
    }
    if record.state is not RunState.DONE:
        lines["go on with"] = f"actsearch search --resume {folder.name}"
    for key, value in lines.items():
        console.print(f"{key:<12} {value}", soft_wrap=True, highlight=False, markup=False)


def _write_report(folder: RunFolder, store: Store, name: str) -> str | None:
    """The report's path; None where the `reports` extra is not installed, as in a controller's container."""
    try:
        from actsearch_reports.page import write_report
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] in ("matplotlib", "jinja2"):
            return None
        raise
    print("writing the report …", file=sys.stderr, flush=True) if sys.stderr.isatty() else None
    return str(write_report(store, name, folder.shown / "report"))
