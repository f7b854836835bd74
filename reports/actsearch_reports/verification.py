"""Tables of verifications: from the store to flat rows, for the page's CSV files."""

from collections.abc import Sequence
from dataclasses import dataclass

from actsearch.store import VerificationRecord


@dataclass(frozen=True)
class VerificationRow:
    """One function in one child on one data set; differences from the reference with 95 % intervals, in 0–1."""

    verification: int
    canonical: str
    names: tuple[str, ...]
    ground: str
    final_difference: float
    seeds: int
    accuracy: float
    failures: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None


@dataclass(frozen=True)
class CorrelationRow:
    """Spearman's rank correlation with the finals, with its 95 % interval."""

    verification: int
    ground: str
    functions: int
    spearman: float
    low: float | None
    high: float | None


def verification_rows(records: Sequence[VerificationRecord]) -> list[VerificationRow]:
    """A row for each function, child and data set of every verification that is done."""
    return [
        VerificationRow(
            verification=record.number,
            canonical=row.function.candidate.canonical,
            names=row.function.candidate.names,
            ground=cell.ground,
            final_difference=row.function.difference,
            seeds=record.result.seeds,
            accuracy=cell.accuracy,
            failures=cell.failures,
            difference=cell.difference.mean if cell.difference else None,
            difference_low=cell.difference.low if cell.difference else None,
            difference_high=cell.difference.high if cell.difference else None,
        )
        for record in records
        if record.result is not None
        for row in record.result.rows
        for cell in row.grounds
    ]


def correlation_rows(records: Sequence[VerificationRecord]) -> list[CorrelationRow]:
    """A row for each correlation of every verification that is done."""
    return [
        CorrelationRow(record.number, c.ground, len(record.result.rows), c.spearman, c.low, c.high)
        for record in records
        if record.result is not None
        for c in record.result.correlations
    ]
