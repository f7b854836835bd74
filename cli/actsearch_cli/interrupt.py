"""Stopping on request, with everything kept."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any

INTERRUPTED = 130
"""Exit code of what was stopped on request."""


@contextmanager
def stopping() -> Iterator[Event]:
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
