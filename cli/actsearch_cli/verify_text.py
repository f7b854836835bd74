"""What a verification found, as a table for people and as a document for programs."""

from typing import Any

from rich.console import Console
from rich.table import Table

from actsearch.store import VerificationRecord
from actsearch.verification import Correlation, VerifiedRow
from actsearch_cli.finals_text import PIPED_WIDTH, interval, points


def print_verification(record: VerificationRecord, console: Console) -> None:
    """Prints a verification that is done: one row a function in the finals' order, then the correlations."""
    result = record.result
    assert result is not None, "done"
    table = Table(title=f"verification {record.number}: {result.seeds} paired seeds, validation accuracy", box=None)
    for title in ("function", "known as"):
        table.add_column(title)
    for title in ("in the finals", f"over {result.reference} (95 %)", "behind in", *result.grounds):
        table.add_column(title, justify="right")
    for row in result.rows:
        table.add_row(*_cells(row))
    if not console.is_terminal:
        console = Console(file=console.file, stderr=console.stderr, quiet=console.quiet, width=PIPED_WIDTH)
    console.print(table)
    lines = [f"differences from {result.reference} in points; beside them {result.reference}'s own accuracy"]
    lines += [correlation(found) for found in result.correlations]
    lines.append("a description, not a test: no claim follows from it, and no test image was touched")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _cells(row: VerifiedRow) -> list[str]:
    candidate = row.function.candidate
    control = " (control)" if candidate.is_control else ""
    dropped = " (dropped)" if row.function.is_dropped else ""
    return [
        candidate.canonical,
        ", ".join(candidate.names) + control,
        ("reference" if row.difference is None else points(row.function.difference)) + dropped,
        interval(row.difference),
        "" if row.difference is None else f"{row.behind} of {len(row.grounds)}",
        *(
            (f"{cell.accuracy:.2%}" if cell.difference is None else points(cell.difference.mean))
            + (f" ({cell.failures} failed)" if cell.failures else "")
            for cell in row.grounds
        ),
    ]


def correlation(found: Correlation) -> str:
    """A rank correlation with its interval, in one line."""
    where = "the mean over all" if found.ground == "all" else found.ground
    ends = "" if found.low is None or found.high is None else f" (95 % {found.low:+.2f} to {found.high:+.2f})"
    return f"rank correlation of {where} with the finals: {found.spearman:+.2f}{ends}"


def document(record: VerificationRecord) -> dict[str, Any]:
    """A verification for programs; accuracies and differences are 0–1. Of one not done: state and settings."""
    head = {
        "number": record.number,
        "state": record.state.value,
        "reason": record.reason,
        "seconds": record.seconds,
        "settings": record.plan.settings.model_dump(mode="json"),
    }
    result = record.result
    if result is None:
        return head
    return head | {
        "reference": result.reference,
        "grounds": list(result.grounds),
        "seeds": result.seeds,
        "correlations": [found.model_dump(mode="json") for found in result.correlations],
        "functions": [_function(row) for row in result.rows],
    }


def _function(row: VerifiedRow) -> dict[str, Any]:
    candidate = row.function.candidate
    return {
        "formula": candidate.canonical,
        "names": list(candidate.names),
        "tokens": list(candidate.tokens),
        "is_control": candidate.is_control,
        "is_dropped": row.function.is_dropped,
        "final_difference": row.function.difference,
        "behind": row.behind,
        **row.model_dump(mode="json", exclude={"function"}),
    }
