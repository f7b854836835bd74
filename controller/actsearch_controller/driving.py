"""The loop that a search and its finals share: ask for jobs, have children trained, tell what came of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from actsearch.errors import RunPausedError
from actsearch.evaluation import Evaluation, Job
from actsearch.store import RunState
from actsearch_controller.ports import Evaluator

POLL_SECONDS = 0.5
"""How long one wait for results lasts: the delay of a stop request and of the live view, while the queue answers."""


class Driven(Protocol):
    """What is asked for jobs and told evaluations until it is done."""

    @property
    def is_done(self) -> bool: ...

    def ask(self) -> list[Job]: ...

    def tell(self, evaluations: Iterable[Evaluation]) -> None: ...


def drive(
    driven: Driven,
    evaluator: Evaluator,
    *,
    set_state: Callable[[RunState, str], None],
    stop: Event | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> RunState:
    """Feeds it from an evaluator until it is done or stopped, and leaves its state in the store.

    Args:
        driven: a search or finals.
        evaluator: who trains the children.
        set_state: writes state and reason into the store; not called for the end of what is done.
        stop: set from elsewhere, it stops with everything kept.
        on_progress: called a few times a second.

    Returns:
        `done`, or `interrupted` after `stop`.

    Raises:
        RunPausedError: infrastructure gave out; everything is kept.
    """
    try:
        set_state(RunState.RUNNING, "")
        while (jobs := driven.ask()) or not driven.is_done:
            if jobs:
                evaluator.submit(jobs)
            on_progress()
            if stop is not None and stop.is_set():
                set_state(RunState.INTERRUPTED, "stopped on request")
                return RunState.INTERRUPTED
            found = evaluator.collect(0 if jobs else POLL_SECONDS)  # it may have more jobs to hand out
            driven.tell(found)
            evaluator.release(found)
    except RunPausedError as err:
        with suppress(RunPausedError):  # it may be the store that gave out
            set_state(RunState.PAUSED, str(err))
        raise
    except BaseException as err:
        # Not `running` any more, whatever it was; where the store itself has failed, its error is the one to see.
        with suppress(SQLAlchemyError, RunPausedError):
            set_state(RunState.INTERRUPTED, f"{type(err).__name__}: {err}".splitlines()[0])
        raise
    return RunState.DONE
