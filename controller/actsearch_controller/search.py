"""The search loop: ask the controller, have children trained, tell it their rewards, until the budget is used up.

`search` starts a run and `resume` goes on with one; both drive a `Search` (actsearch_controller.pipeline) with an
evaluator: children trained in this process, or by workers behind a queue.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event

from sqlalchemy.exc import SQLAlchemyError

from actsearch.config import RunConfig
from actsearch.errors import RunPausedError
from actsearch.store import RunRecord, RunState, Store
from actsearch_controller.pipeline import Search
from actsearch_controller.ports import Evaluator, Proposer
from actsearch_controller.progress import Progress

__all__ = ["Evaluator", "Progress", "Proposer", "Search", "drive", "resume", "search"]

POLL_SECONDS = 0.5
"""How long one wait for results lasts at most: the delay of a stop request and of the live view."""


def search(
    config: RunConfig,
    evaluator: Evaluator,
    *,
    store: Store,
    run: str,
    proposer: Proposer | None = None,
    command: str = "",
    versions: Mapping[str, str] | None = None,
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunRecord:
    """Runs a new search to its end.

    Args:
        config: everything that decides what it does.
        evaluator: who trains the children.
        store: where it is kept.
        run: its name, not yet taken.
        proposer: a fresh controller of the caller's own; None takes the one that `config` names.
        command: how a person would start it again; for the report.
        versions: what decides its numbers, by name; for the report.
        stop: set from elsewhere, it stops the search with everything kept.
        on_progress: called a few times a second.

    Returns:
        The run, in state `done`, or `interrupted` after `stop`.

    Raises:
        RunError: the name is taken.
        RunPausedError: infrastructure gave out; the run is kept, in state `paused`.
    """
    store.create_run(run, config, command=command, versions=versions or {})
    return resume(store, run, evaluator, proposer=proposer, stop=stop, on_progress=on_progress)


def resume(
    store: Store,
    run: str,
    evaluator: Evaluator,
    *,
    proposer: Proposer | None = None,
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunRecord:
    """Goes on with a run from where the store has it, to its end; arguments and result as of `search`."""
    return drive(Search(store, run, proposer), store, evaluator, stop=stop, on_progress=on_progress)


def drive(
    search: Search,
    store: Store,
    evaluator: Evaluator,
    *,
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunRecord:
    """Feeds a search from an evaluator until it is done or stopped, and leaves its state in the store."""
    try:
        store.set_state(search.run, RunState.RUNNING)
        while not search.is_done:
            jobs = search.ask()
            if jobs:
                evaluator.submit(jobs)
            on_progress(search.progress)
            if stop is not None and stop.is_set():
                store.set_state(search.run, RunState.INTERRUPTED, "stopped on request", seconds=search.seconds)
                return store.run(search.run)
            found = evaluator.collect(POLL_SECONDS)
            search.tell(found)
            evaluator.release(found)
        store.set_state(search.run, RunState.DONE, search.ending or "", seconds=search.seconds)
        on_progress(search.progress)
        return store.run(search.run)
    except RunPausedError as err:
        store.set_state(search.run, RunState.PAUSED, str(err), seconds=search.seconds)
        raise
    except BaseException as err:
        # Not `running` any more, whatever it was; where the store itself has failed, its error is the one to see.
        with suppress(SQLAlchemyError):
            reason = f"{type(err).__name__}: {err}".splitlines()[0]
            store.set_state(search.run, RunState.INTERRUPTED, reason, seconds=search.seconds)
        raise
