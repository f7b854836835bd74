"""Finals from their beginning, or from where the store has them, to their result."""

from collections.abc import Callable, Mapping
from threading import Event

from actsearch.config import FinalsSettings, Recipe
from actsearch.errors import RunError
from actsearch.finals import FinalsResult
from actsearch.store import RunState, Store
from actsearch_controller import driving
from actsearch_controller.finals.finals import Finals
from actsearch_controller.finals.plan import make_plan
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_controller.ports import Evaluator


def begin(
    store: Store,
    run: str,
    settings: FinalsSettings,
    recipes: Mapping[str, Recipe],
) -> None:
    """Begins the finals of a run, unless they were begun: a run has one, so that its test images are used once.

    Args:
        store: where the run is.
        run: its name.
        settings: how they are to be.
        recipes: of the children of the panel, by name.

    Raises:
        RunError: nothing has been trained, or finals with other settings were begun.
    """
    begun = store.finals.get(run)
    if begun is None:
        plan = make_plan(store.run(run).config, settings, store.evaluations(run, layers=False), recipes)
        store.finals.begin(run, plan)
        return
    for name in FinalsSettings.model_fields:
        before, now = getattr(begun.plan.settings, name), getattr(settings, name)
        if before != now and name != "after_search":
            raise RunError(
                f"the finals of run {run!r} were begun with {name} = {_shown(before)}, not {_shown(now)}; "
                "a run has one finals, since test images are measured once"
            )


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def drive(
    store: Store,
    run: str,
    evaluator: Evaluator,
    *,
    stop: Event | None = None,
    on_progress: Callable[[FinalsProgress], None] = lambda _: None,
) -> FinalsResult | None:
    """Goes on with finals that were begun, to their end.

    Args:
        store: where they are.
        run: the run's name.
        evaluator: who trains the children.
        stop: set from elsewhere, it stops them with everything kept.
        on_progress: called a few times a second.

    Returns:
        What they say; None where they were stopped.

    Raises:
        RunPausedError: infrastructure gave out; everything is kept, in state `paused`.
    """
    finals = Finals(store, run)
    if finals.is_done:
        return finals.result

    def set_state(state: RunState, reason: str) -> None:
        seconds = None if state is RunState.RUNNING else finals.seconds
        store.finals.set_state(run, state, reason, seconds=seconds)

    driving.drive(finals, evaluator, set_state=set_state, stop=stop, on_progress=lambda: on_progress(finals.progress))
    if finals.is_done:
        set_state(RunState.DONE, "")
        on_progress(finals.progress)
    return finals.result
