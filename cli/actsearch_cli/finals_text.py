"""What finals say, as a table for people and as a document for programs."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from actsearch.finals import Estimate, FinalRow
from actsearch.store import FinalsRecord, FinalTestRecord

PIPED_WIDTH = 200
"""Columns of the table where the output is no terminal."""


def print_finals(record: FinalsRecord, tests: Sequence[FinalTestRecord], console: Console) -> None:
    """Prints a result: one row a function, and what the columns mean.

    Args:
        record: finals that are done.
        tests: what was measured on the test images.
        console: where to.
    """
    result = record.result
    assert result is not None, "done"
    table = Table(title=f"finals: {result.seeds} paired seeds in {', '.join(result.children)}", box=None)
    for title in ("function", "known as"):
        table.add_column(title)
    for title in ("mean rank", f"over {result.reference} (95 %)", "Holm p", "tied with best"):
        table.add_column(title, justify="right")
    for title in (*result.children, "search", "luck", "test"):
        table.add_column(title, justify="right")
    for row in result.rows:
        table.add_row(*_cells(row), style="dim" if row.is_dropped else None)
    if not console.is_terminal:
        console = Console(file=console.file, stderr=console.stderr, quiet=console.quiet, width=PIPED_WIDTH)
    console.print(table)
    for line in notes(record, tests):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _cells(row: FinalRow) -> list[str]:
    candidate = row.candidate
    control = " (control)" if candidate.is_control else ""
    return [
        candidate.canonical,
        ", ".join(candidate.names) + control,
        f"dropped at {row.seeds}" if row.mean_rank is None else f"{row.mean_rank:.2f}",
        interval(row.difference),
        "" if row.p_holm is None else p_value(row.p_holm),
        "yes" if row.is_tied else "",
        *(points(child.difference.mean) if child.difference else f"{child.accuracy:.2%}" for child in row.children),
        "" if candidate.search_accuracy is None else f"{candidate.search_accuracy:.2%}",
        "" if row.shrinkage is None else points(row.shrinkage),
        f"{row.test_accuracy:.2%}",
    ]


def points(value: float) -> str:
    """An accuracy difference in points, signed."""
    return f"{100 * value:+.2f}"


def interval(estimate: Estimate | None) -> str:
    """A mean with its interval, in points."""
    if estimate is None:
        return "reference"
    return f"{points(estimate.mean)} ({points(estimate.low)} to {points(estimate.high)})"


def p_value(p: float) -> str:
    """A p-value with two significant digits."""
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def notes(record: FinalsRecord, tests: Sequence[FinalTestRecord]) -> list[str]:
    """What the table means, and when the test images were measured."""
    result = record.result
    assert result is not None, "done"
    best = result.best
    found = "the search's own" if best.is_found else "a control"
    better = sum(row.is_better for row in result.rows)
    tied = sum(row.is_tied for row in result.rows)
    measured = [test.measured_at for test in tests]
    return [
        f"best by mean rank: {best.candidate.canonical} ({found}); {tied} in the group tied with it, "
        "which holds the truly best of these functions with 95 % confidence",
        f"{better} of {sum(row.is_found for row in result.rows)} finalists better than {result.reference} at 5 % "
        "(one-sided paired t-test on each seed's mean over the panel, Holm); differences in points of accuracy",
        "luck: search score minus what the same training gives with fresh seeds",
        f"test accuracy: measured once, {min(measured):%Y-%m-%d %H:%M} to {max(measured):%Y-%m-%d %H:%M} UTC",
    ]


def document(record: FinalsRecord, tests: Sequence[FinalTestRecord]) -> dict[str, Any]:
    """Finals for programs; accuracies and differences are 0–1. Of finals that are not done: state and settings."""
    head = {
        "state": record.state.value,
        "reason": record.reason,
        "seconds": record.seconds,
        "settings": record.plan.settings.model_dump(mode="json"),
    }
    if record.result is None:
        return head
    result = record.result
    return head | {
        "reference": result.reference,
        "children": list(result.children),
        "seeds": result.seeds,
        "screened": result.screened,
        "best": result.best.candidate.canonical,
        "tied": [row.candidate.canonical for row in result.rows if row.is_tied],
        "test_measured_at": max(test.measured_at for test in tests).isoformat(timespec="seconds"),
        "functions": [_function(row) for row in result.rows],
    }


def _function(row: FinalRow) -> dict[str, Any]:
    candidate = row.candidate
    return {
        "formula": candidate.canonical,
        "names": list(candidate.names),
        "tokens": list(candidate.tokens),
        "class": candidate.equivalence_class,
        "is_control": candidate.is_control,
        "is_found": row.is_found,
        "search_accuracy": candidate.search_accuracy,
        "shrinkage": row.shrinkage,
        **row.model_dump(mode="json", exclude={"candidate"}),
    }
