"""One sitting at a run: hold its folder, drive its search, show how it goes, write the report at the end."""

import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from actsearch.config import RunConfig
from actsearch.errors import RunError
from actsearch.runs import RunFolder
from actsearch.store import RunRecord, RunState, Store
from actsearch_cli import finals_session, finals_text, verify_text
from actsearch_cli.finals_text import print_finals
from actsearch_cli.link import Link
from actsearch_cli.live import SearchLines
from actsearch_cli.sitting import sit
from actsearch_cli.status import document


def drive(folder: RunFolder, link: Link, *, as_json: bool = False) -> int:
    """Drives a run's search to its end on the workers behind a server; returns the exit code.

    Args:
        folder: the run; the caller holds its lock.
        link: the way to its workers.
        as_json: print one JSON document at the end and nothing else.
    """
    from actsearch_controller.search import resume

    def go_on(*args: Any, **kwargs: Any) -> RunRecord | None:
        record = resume(*args, **kwargs)
        return None if record.state is RunState.INTERRUPTED else record

    console = Console(stderr=as_json, quiet=as_json)
    with folder.open() as (store, name):
        config = store.run(name).config
    code = sit(folder, link, SearchLines(), go_on, console=console, in_flight_at_most=config.batch * config.lag)
    if code == 0 and config.finals.after_search:
        code = _finals(folder, link, console, config)
    conclude(folder, console, as_json)
    return code


def _finals(folder: RunFolder, link: Link, console: Console, config: RunConfig) -> int:
    """The finals that follow a search; a search that trained nothing has none."""
    try:
        finals_session.begin(
            folder,
            {"finalists": config.finals.finalists},
            allow_user_code=config.allow_user_code,
            dataset_here=False,
            console=console,
        )
    except RunError as err:
        console.print(f"no finals: {err}", soft_wrap=True, markup=False, highlight=False)
        return 0
    if finals_session.is_done(folder):
        return 0
    return finals_session.drive(folder, link, console=console)


def conclude(folder: RunFolder, console: Console, as_json: bool) -> None:
    """Prints what came of a run, and where its report is."""
    with folder.open() as (store, name):
        page = _write_report(folder, store, name)
        if as_json:
            found = {"rediscovery": _rediscovery(store, name), "finals": _finals_document(store, name), "report": page}
            print(json.dumps(document(folder) | found, indent=2, ensure_ascii=False))
            return
        record, summary = store.run(name), store.summary(name)
        finals, tests = store.finals.get(name), store.finals.test_accuracies(name)
        _print_leaderboard(store, name, console)
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in summary.by_outcome.items())
    lines = {
        "state": record.state.value + (f": {record.reason}" if record.reason else ""),
        "evaluations": f"{summary.told} ({counts}) in {record.seconds:.0f} s",
        "trace": record.trace or "nothing told yet",
        "run": str(folder.shown),
        "report": page or _NO_REPORT,
    }
    if record.state is not RunState.DONE:
        lines["go on with"] = f"actsearch search --resume {folder.name}"
    elif finals is not None and finals.result is None:
        lines["go on with"] = f"actsearch finals {folder.name}"
    if finals is not None and finals.result is not None:
        print_finals(finals, tests, console)
    for key, value in lines.items():
        console.print(f"{key:<12} {value}", soft_wrap=True, highlight=False, markup=False)


def conclude_finals(folder: RunFolder, console: Console, as_json: bool, *, is_new: bool) -> None:
    """Prints what finals say and, where they are new, writes the report and prints where it is."""
    with folder.open() as (store, name):
        page = _write_report(folder, store, name) if is_new else None
        if as_json:
            found = {
                "run": name,
                "rediscovery": _rediscovery(store, name),
                "finals": _finals_document(store, name),
                "report": page,
            }
            print(json.dumps(found, indent=2, ensure_ascii=False))
            return
        record, tests = store.finals.get(name), store.finals.test_accuracies(name)
    assert record is not None, "begun"
    if record.result is not None:
        print_finals(record, tests, console)
    else:
        console.print(f"{'state':<12} {record.state.value}: {record.reason}", soft_wrap=True, markup=False)
        console.print(f"{'go on with':<12} actsearch finals {folder.name}", soft_wrap=True, markup=False)
    if is_new:
        console.print(f"{'report':<12} {page or _NO_REPORT}", soft_wrap=True, markup=False, highlight=False)


def conclude_verification(folder: RunFolder, number: int, console: Console, as_json: bool, *, is_new: bool) -> None:
    """Prints what a verification found and, where it is new, writes the report and prints where it is."""
    with folder.open() as (store, name):
        page = _write_report(folder, store, name) if is_new else None
        record = next(record for record in store.verifications.of(name) if record.number == number)
    if as_json:
        found = {"run": name, "verification": verify_text.document(record), "report": page}
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if record.result is not None:
        verify_text.print_verification(record, console)
    else:
        console.print(f"{'state':<12} {record.state.value}: {record.reason}", soft_wrap=True, markup=False)
        console.print(f"{'go on with':<12} actsearch verify {folder.name}", soft_wrap=True, markup=False)
    if is_new:
        console.print(f"{'report':<12} {page or _NO_REPORT}", soft_wrap=True, markup=False, highlight=False)


def _rediscovery(store: Store, name: str) -> list[dict[str, Any]]:
    """What became of Swish, a document a kind."""
    from actsearch.rediscovery import sightings
    from actsearch_reports.rediscovery import rediscovery_rows

    record = store.finals.get(name)
    found = sightings(
        store.run(name).config.space,
        store.evaluations(name, layers=False),
        store.proposals(name),
        record.plan if record else None,
        record.result if record else None,
    )
    return [asdict(row) for row in rediscovery_rows(found)]


def _finals_document(store: Store, name: str) -> dict[str, Any] | None:
    record = store.finals.get(name)
    return None if record is None else finals_text.document(record, store.finals.test_accuracies(name))


_NO_REPORT = "not written: matplotlib or jinja2 is not installed (extra `reports`)"


def _print_leaderboard(store: Store, name: str, console: Console) -> None:
    from actsearch_reports.tables import top_functions

    table = Table(title="best functions, few trainings each: a table of luck until finals", box=None)
    for column in ("rank", "accuracy", "trainings", "function", "known as"):
        table.add_column(column, justify="left" if column in ("function", "known as") else "right")
    for row in top_functions(store.evaluations(name, layers=False), 10):
        cells = (str(row.rank), f"{row.val_accuracy:.2%}", str(row.trainings), row.canonical, ", ".join(row.names))
        table.add_row(*cells)
    console.print(table)


def _write_report(folder: RunFolder, store: Store, name: str) -> str | None:
    """The report's path; None where the `reports` extra is not installed, as in a controller's container."""
    try:
        from actsearch_reports.page import write_report
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] in ("matplotlib", "jinja2"):
            return None
        raise
    print("writing the report …", file=sys.stderr, flush=True) if sys.stderr.isatty() else None
    return str(write_report(store, name, folder.shown / "report"))
