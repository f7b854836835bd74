"""`actsearch status`: what a run is doing, from its store."""

import json
from typing import TYPE_CHECKING, Any

from actsearch_cli.options import RUNS_DIR, Json, Run, RunsDir, Store, existing_run

if TYPE_CHECKING:
    from actsearch.runs import RunFolder
    from actsearch.store import FinalsRecord
    from actsearch_workers.sight import Sighting

NAME = "status"


def command(run: Run, runs_dir: RunsDir = RUNS_DIR, store: Store = None, as_json: Json = False) -> None:
    """Show a run: state, counts by outcome, the best so far, its workers, why nothing moves, the controller's health.

    Reads the store, and what the run's controller last saw of its workers: no server is asked, and none is needed.
    """
    status = document(existing_run(runs_dir, run, store))
    if as_json:
        print(json.dumps(status, indent=2, ensure_ascii=False))
        return
    for line in lines(status):
        print(line)


def lines(status: dict[str, Any]) -> list[str]:
    """A status for people, a line each."""
    counts = status["evaluations"]
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts["by_outcome"].items())
    best = status["best"]
    names = f" = {', '.join(best['names'])}" if best and best["names"] else ""
    rows = {
        "run": status["run"],
        "state": status["state"] + (f": {status['reason']}" if status["reason"] else ""),
        "evaluations": f"{counts['told']} of {counts['budget']}" + (f" ({outcomes})" if outcomes else ""),
        "in flight": str(counts["asked"] - counts["told"]),
        "environment": status["environment"]
        or ("not recorded" if counts["told"] else "no worker has taken the run yet"),
        "workers": _workers(status),
        "stopped early": _stopped(status["early_stopping"]),
        "best": best_line(best) + names,
        "controller": _controller(status["controller"]),
        "finals": _finals_line(status["finals"]),
        "searched for": f"{status['seconds']:.0f} s",
        "trace": status["trace"] or "nothing told yet",
    }
    waiting = [f"{'waiting':<13} {reason}" for reason in status["waiting"]]
    warnings = [f"{'warning':<13} {warning}" for warning in status["warnings"]]
    return [*(f"{key:<13} {value}" for key, value in rows.items()), *waiting, *warnings]


def best_line(best: dict[str, Any] | None) -> str:
    """What stands first, and how many trainings say so."""
    if best is None:
        return "nothing trained yet"
    trainings = "1 training" if best["trainings"] == 1 else f"{best['trainings']} trainings"
    return f"{best['reward']:.2%} ({trainings})  {best['formula']}"


def _workers(status: dict[str, Any]) -> str:
    """How many there are and are busy, in one line."""
    workers = status["workers"]
    if workers is None:
        if status["driven_elsewhere_by"] is not None:
            return f"not seen from here: {status['driven_elsewhere_by']} drives the run"
        return "none seen yet" if status["is_driven"] else "none: nobody drives the run"
    retries = f", {workers['retries']} attempts tried again" if workers["retries"] else ""
    others = workers["all"] - workers["fit"]
    return (
        f"{workers['busy']} of {workers['fit']} busy with this run"
        + (f", {others} of another environment" if others else "")
        + f"{retries} (seen {workers['age_seconds']:.0f} s ago)"
    )


def _stopped(early_stopping: dict[str, Any] | None) -> str:
    """What early stopping did, in one line."""
    if early_stopping is None:
        return "none: every child is trained to the end"
    return f"{early_stopping['stopped']}, which saved {early_stopping['steps_saved']:.0%} of the steps"


def _controller(health: dict[str, Any] | None) -> str:
    """Its health in one line."""
    if health is None:
        return "not told a batch yet"
    measures = {"entropy": ".2f", "approx_kl": ".3f", "clip_fraction": ".0%", "grad_norm": ".2f", "baseline": ".3f"}
    told = [f"{name} {health['metrics'][name]:{form}}" for name, form in measures.items() if name in health["metrics"]]
    parts = [f"{health['new_share']:.0%} new trainings lately", *told]
    return ", ".join(parts) + (f"; {health['warning']}" if health["warning"] else "")


def _finals(record: "FinalsRecord", told: int, is_driven: bool, run: str) -> dict[str, Any]:
    """State of finals, trainings told so far, and the best of their result (None: not done)."""
    from actsearch.store import RunState

    state, reason = record.state.value, record.reason
    if record.state is not RunState.DONE and not is_driven:
        state = "interrupted" if record.state is RunState.RUNNING else state
        reason = f"{reason or 'nobody drives them'}; `actsearch finals {run}` goes on with nothing lost"
    best = None if record.result is None else record.result.best.candidate
    return {
        "state": state,
        "reason": reason,
        "told": told,
        "best": None if best is None else {"formula": best.canonical, "names": list(best.names)},
    }


def _finals_line(finals: dict[str, Any] | None) -> str:
    if finals is None:
        return "none"
    text = f"{finals['state']}, {finals['told']} trainings" + (f": {finals['reason']}" if finals["reason"] else "")
    return text + (f", best {finals['best']['formula']}" if finals["best"] else "")


def _seen(sighting: "Sighting") -> dict[str, Any]:
    queue = sighting.queue
    return {
        "all": len(queue.workers),
        "fit": len(queue.fitting),
        "busy": queue.busy,
        "queued": queue.queued,
        "retries": queue.retries,
        "age_seconds": round(sighting.age_seconds, 1),
    }


def document(folder: "RunFolder") -> dict[str, Any]:
    """What `status --json` prints."""
    from actsearch.evaluation import Outcome
    from actsearch.health import WINDOW, health
    from actsearch.store import RunState, share_of_steps_saved
    from actsearch_workers.sight import Sighting

    with folder.open() as (store, name):
        record, summary = store.run(name), store.summary(name)
        recent = store.proposals(name, since=max(0, summary.batches_told - WINDOW))
        controller = health(store.batches(name), recent)
        finals = store.finals.get(name)
        trainings = 0 if finals is None else store.finals.told(name)
        is_driven_here = folder.is_driven_here
        elsewhere = None if is_driven_here else store.driver(name)
    is_driven = is_driven_here or elsewhere is not None
    sighting = Sighting.read(folder.queue) if is_driven_here else None
    state, reason = record.state.value, record.reason
    if record.state is RunState.RUNNING and not is_driven:
        state = "interrupted"
        reason = f"its controller is gone; `actsearch search --resume {folder.name}` goes on with nothing lost"
    best = summary.best
    return {
        "run": name,
        "state": state,
        "reason": reason,
        "is_driven": is_driven,
        "driven_elsewhere_by": elsewhere,
        "evaluations": {
            "budget": record.config.evaluations,
            "asked": summary.asked,
            "told": summary.told,
            "by_outcome": {outcome.value: count for outcome, count in summary.by_outcome.items()},
        },
        "early_stopping": None
        if record.config.early_stopping is None
        else {
            "stopped": summary.by_outcome.get(Outcome.STOPPED, 0),
            "steps_saved": share_of_steps_saved(summary.by_outcome, summary.steps, record.config.recipe.steps),
        },
        "best": None
        if best is None
        else {
            "formula": best.canonical,
            "names": list(best.names),
            "reward": best.reward,
            "trainings": best.trainings,
            "number": best.number,
        },
        "controller": None if controller is None else controller.document,
        "finals": None if finals is None else _finals(finals, trainings, is_driven, folder.name),
        "environment": record.versions.get("environment"),
        "workers": None if sighting is None else _seen(sighting),
        "waiting": [] if sighting is None else sighting.why_nothing_moves(),
        "warnings": [] if sighting is None else sighting.warnings(),
        "batches": {"asked": summary.batches_asked, "told": summary.batches_told},
        "seconds": record.seconds,
        "trace": record.trace,
    }
