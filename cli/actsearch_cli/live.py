"""What a running search shows: a live view in a terminal, a line now and then elsewhere, nothing with --json."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

if TYPE_CHECKING:
    from actsearch_controller.progress import Progress
    from actsearch_workers.queue import QueueStatus

LINE_SECONDS = 15
"""Time between two lines where there is no terminal."""


class View:
    """Shows a search's progress; call it with each `Progress`.

    Args:
        console: where to.
        workers: asks the queue what its workers do; called at most once a second.
    """

    def __init__(self, console: Console, workers: "Callable[[], QueueStatus]") -> None:
        self._console = console
        self._workers = workers
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("evaluations", total=None)
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._next = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
            self._live.update(Text("starting workers …"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now < self._next and progress.told < progress.budget:
            return
        if self._live:
            self._next = now + 1
            self._live.update(self._render(progress))
        else:
            self._next = now + LINE_SECONDS
            self._console.print(_line(progress), soft_wrap=True, highlight=False)

    def _render(self, progress: "Progress") -> RenderableType:
        self._bar.update(self._task, completed=progress.told, total=progress.budget)
        rows = [f"{progress.evaluations_per_minute:.1f} a minute · batch {progress.batch} told · {_outcomes(progress)}"]
        rows.append(f"best so far  {_best(progress)}")
        status = self._workers()
        busy = sum(worker.evaluation is not None for worker in status.workers)
        retried = f" · {status.retries} tried again" if status.retries else ""
        rows.append(f"workers      {busy} of {len(status.workers)} busy · {progress.in_flight} in flight{retried}")
        entropy = progress.metrics.get("entropy")
        if entropy is not None:
            rows.append(f"controller   entropy {entropy:.2f} nats a token")
        rows.append("Ctrl-C stops and keeps everything")
        return Group(self._bar, *(Text(row, overflow="ellipsis", no_wrap=True) for row in rows))


def _line(progress: "Progress") -> str:
    return (
        f"{progress.told}/{progress.budget} evaluations, {progress.evaluations_per_minute:.1f} a minute, "
        f"{progress.in_flight} in flight, best {_best(progress)}"
    )


def _best(progress: "Progress") -> str:
    best = progress.best
    if best is None:
        return "nothing trained yet"
    names = f"  = {', '.join(best.names)}" if best.names else ""
    return f"{best.reward:.2%}  {best.canonical}{names}"


def _outcomes(progress: "Progress") -> str:
    return ", ".join(f"{count} {outcome.value}" for outcome, count in progress.by_outcome.items()) or "none finished"
