"""What every sitting at a run shares, be it a search, finals or a verification: drive it on workers, show it, stop."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from actsearch.runs import RunFolder
from actsearch_cli.interrupt import INTERRUPTED, stopping
from actsearch_cli.link import Link, Part
from actsearch_cli.live import Lines, View


def sit(
    folder: RunFolder,
    link: Link,
    lines: Lines,
    go_on: Callable[..., object | None],
    *,
    console: Console,
    part: Part = "search",
    in_flight_at_most: int | None = None,
) -> int:
    """Goes on with something of a run, shows how it goes, and stops on request; returns the exit code.

    Args:
        folder: the run; the caller holds its lock.
        link: the way to its workers.
        lines: what to show.
        go_on: from store, run, evaluator, `stop` and `on_progress` to a result, None where it was stopped.
        console: where to show how it goes.
        part: which part of the run it is.
        in_flight_at_most: jobs that it ever has in flight; None: all that are left.
    """
    with folder.open() as (store, name), stopping() as stop:
        evaluator = link.evaluator(store, name, part)
        look = link.sightings(folder, evaluator, in_flight_at_most)
        with View(console, evaluator, lines) as view:

            def on_progress(progress: Any) -> None:
                if folder.stop_file.exists():
                    stop.set()
                look(progress)
                view(progress)

            result = go_on(store, name, evaluator, stop=stop, on_progress=on_progress)
        if result is not None:
            evaluator.close()
    return INTERRUPTED if result is None else 0
