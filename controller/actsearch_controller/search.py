"""The search loop: ask the controller, have children trained, tell it their rewards, until the budget is used up.

`search` starts a run and `resume` goes on with one; both drive a `Search` (actsearch_controller.pipeline) with an
evaluator: children trained in this process, or by workers behind a queue.
"""

from collections.abc import Callable, Mapping
from threading import Event

from actsearch.config import RunConfig
from actsearch.store import RunRecord, RunState, Store
from actsearch_controller import driving
from actsearch_controller.pipeline import Search
from actsearch_controller.ports import Evaluator, Proposer
from actsearch_controller.progress import Progress

__all__ = ["Evaluator", "Progress", "Proposer", "Search", "drive", "resume", "search"]


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

    def set_state(state: RunState, reason: str) -> None:
        # `running` keeps the seconds of earlier sessions: this one has spent none yet.
        seconds = None if state is RunState.RUNNING else search.seconds
        store.set_state(search.run, state, reason, seconds=seconds)

    ended = driving.drive(
        search, evaluator, set_state=set_state, stop=stop, on_progress=lambda: on_progress(search.progress)
    )
    if ended is RunState.DONE:
        set_state(ended, search.ending or "")
        on_progress(search.progress)
    return store.run(search.run)
