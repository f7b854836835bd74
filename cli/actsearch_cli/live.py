"""What a running search or finals shows: a live view in a terminal, a line now and then elsewhere, else nothing."""

import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

if TYPE_CHECKING:
    from actsearch_controller.finals.progress import FinalsProgress
    from actsearch_controller.progress import Progress
    from actsearch_workers.sight import QueueStatus

log = logging.getLogger("actsearch")
"""Where lines go in place of the console, once `--log-format` has set it up."""
LINE_SECONDS = 15
"""Time between two lines where there is no terminal."""


class Queue(Protocol):
    """What a view asks about the workers."""

    def status(self) -> "QueueStatus": ...

    def why_nothing_moves(self, in_flight: int) -> list[str]:
        """Reasons; none where something moves."""


class Lines(Protocol):
    """What a view shows of one kind of progress."""

    noun: str
    """What is counted."""

    def rows(self, progress: Any, workers: "QueueStatus") -> list[str]:
        """The rows under the bar."""

    def line(self, progress: Any) -> str:
        """All of it in one line."""


class View:
    """Shows progress; call it with each, which has `told` and `budget`.

    Args:
        console: where to.
        queue: asked at most once a second what its workers do.
        lines: what to show.
    """

    def __init__(self, console: Console, queue: Queue, lines: Lines) -> None:
        self._console = console
        self._queue = queue
        self._lines = lines
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task(lines.noun, total=None)
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

    def __call__(self, progress: Any) -> None:
        now = time.monotonic()
        if now < self._next and progress.told < progress.budget:
            return
        if self._live:
            self._next = now + 1
            self._live.update(self._render(progress))
        else:
            self._next = now + LINE_SECONDS
            line = "; ".join([self._lines.line(progress), *self._queue.why_nothing_moves(progress.in_flight)])
            if log.handlers:
                log.info(line)
            else:
                self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _render(self, progress: Any) -> RenderableType:
        self._bar.update(self._task, completed=progress.told, total=progress.budget)
        status = self._queue.status()
        waiting = [f"waiting      {reason}" for reason in self._queue.why_nothing_moves(progress.in_flight)]
        rows = [*self._lines.rows(progress, status), *waiting, "Ctrl-C stops and keeps everything"]
        return Group(self._bar, *(Text(row, overflow="ellipsis", no_wrap=True) for row in rows))


class SearchLines:
    """Of a search."""

    noun = "evaluations"

    def rows(self, progress: "Progress", workers: "QueueStatus") -> list[str]:
        rows = [
            f"{progress.evaluations_per_minute:.1f} a minute{_clock(progress)} · batch {progress.batch} told "
            f"· {_outcomes(progress)}",
            f"best so far  {_best(progress)}",
            _busy(workers, progress.in_flight),
        ]
        entropy = progress.metrics.get("entropy")
        return rows if entropy is None else [*rows, f"controller   entropy {entropy:.2f} nats a token"]

    def line(self, progress: "Progress") -> str:
        return (
            f"{progress.told}/{progress.budget} evaluations{_clock(progress)}, "
            f"{progress.evaluations_per_minute:.1f} a minute, {progress.in_flight} in flight, best {_best(progress)}"
        )


class FinalsLines:
    """Of finals, and of verifications by that title."""

    noun = "trainings"

    def __init__(self, title: str = "finals") -> None:
        self._title = title

    def rows(self, progress: "FinalsProgress", workers: "QueueStatus") -> list[str]:
        return [
            f"{self._title:<12} {progress.stage} · {progress.standing} functions{_dropped(progress)}",
            f"time left    {_left(progress)}",
            _busy(workers, progress.in_flight),
        ]

    def line(self, progress: "FinalsProgress") -> str:
        return (
            f"{self._title}: {progress.told}/{progress.budget} trainings, {progress.stage}, "
            f"{progress.standing} functions{_dropped(progress)}, {_left(progress)} left"
        )


def _clock(progress: "Progress") -> str:
    return "" if progress.minutes is None else f" in {progress.seconds / 60:.1f} of {progress.minutes:g} min"


def _busy(status: "QueueStatus", in_flight: int) -> str:
    busy = sum(worker.evaluation is not None for worker in status.workers)
    retried = f" · {status.retries} tried again" if status.retries else ""
    return f"workers      {busy} of {len(status.workers)} busy · {in_flight} in flight{retried}"


def _dropped(progress: "FinalsProgress") -> str:
    return f", {progress.dropped} dropped" if progress.dropped else ""


def _left(progress: "FinalsProgress") -> str:
    if progress.seconds_left is None:
        return "not known yet"
    minutes = progress.seconds_left / 60
    if minutes < 1:
        return f"{progress.seconds_left:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _best(progress: "Progress") -> str:
    best = progress.best
    if best is None:
        return "nothing trained yet"
    names = f"  = {', '.join(best.names)}" if best.names else ""
    return f"{best.reward:.2%}  {best.canonical}{names}"


def _outcomes(progress: "Progress") -> str:
    return ", ".join(f"{count} {outcome.value}" for outcome, count in progress.by_outcome.items()) or "none finished"
