"""`actsearch watch`: `status`, again and again, in place."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from actsearch_cli.options import RUNS_DIR, Run, RunsDir, Store, existing_run
from actsearch_cli.status import document, lines

NAME = "watch"

REFRESH_SECONDS = 1.0
LINE_SECONDS = 15.0
"""Time between two lines where there is no terminal."""


def command(run: Run, runs_dir: RunsDir = RUNS_DIR, store: Store = None) -> None:
    """Show a run's status, live, until it ends; Ctrl-C stops the watching, not the run.

    From any terminal of the machine that drives the run; of a run in a shared database from any machine, without its
    workers. Where the output is no terminal, a line every 15 seconds.
    """
    from rich.live import Live
    from rich.text import Text

    folder = existing_run(runs_dir, run, store)
    if not sys.stdout.isatty():
        status = document(folder)
        _print_line(status)
        while status["is_driven"]:
            time.sleep(LINE_SECONDS)
            status = document(folder)
            _print_line(status)
        return
    with Live(refresh_per_second=4) as live:
        while True:
            status = document(folder)
            live.update(Text("\n".join(lines(status)), overflow="ellipsis", no_wrap=True), refresh=True)
            if not status["is_driven"]:
                return
            time.sleep(REFRESH_SECONDS)


def _print_line(status: Mapping[str, Any]) -> None:
    counts = status["evaluations"]
    told = f"{counts['told']} of {counts['budget']} evaluations"
    print("; ".join([f"{status['run']} {status['state']}, {told}", *status["waiting"]]), flush=True)
