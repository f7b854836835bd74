"""Tables of finals: from the statement in the store to flat rows, for the page's CSV files."""

from collections.abc import Sequence
from dataclasses import dataclass

from actsearch.finals import Estimate, FinalsResult
from actsearch.store import FinalEvaluationRecord, FinalTestRecord


@dataclass(frozen=True)
class FinalFunctionRow:
    """One function in the last stage; accuracies, and differences from the reference with 95 % intervals, in 0–1."""

    place: int
    canonical: str
    names: tuple[str, ...]
    tokens: tuple[str, ...]
    is_found: bool
    is_control: bool
    is_dropped: bool
    seeds: int
    mean_rank: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    p_holm: float | None
    is_better: bool
    is_tied: bool
    search_accuracy: float | None
    again_accuracy: float | None
    shrinkage: float | None
    test_accuracy: float
    test_difference: float | None
    test_difference_low: float | None
    test_difference_high: float | None


@dataclass(frozen=True)
class FinalChildRow:
    """One function in one child of the panel."""

    canonical: str
    child: str
    accuracy: float
    failures: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_holm: float | None


@dataclass(frozen=True)
class FinalTrainingRow:
    """One training of finals; test accuracy only where it was measured."""

    evaluation: str
    fingerprint: str
    child: str
    seed: int
    steps: int
    outcome: str
    reason: str
    val_accuracy: float | None
    test_accuracy: float | None
    seconds: float


def function_rows(result: FinalsResult) -> list[FinalFunctionRow]:
    """One row a function, best first."""
    return [
        FinalFunctionRow(
            place=place,
            canonical=row.candidate.canonical,
            names=row.candidate.names,
            tokens=row.candidate.tokens,
            is_found=row.is_found,
            is_control=row.candidate.is_control,
            is_dropped=row.is_dropped,
            seeds=row.seeds,
            mean_rank=row.mean_rank,
            **_parts("difference", row.difference),
            p=row.p,
            p_holm=row.p_holm,
            is_better=row.is_better,
            is_tied=row.is_tied,
            search_accuracy=row.candidate.search_accuracy,
            again_accuracy=row.again_accuracy,
            shrinkage=row.shrinkage,
            test_accuracy=row.test_accuracy,
            **_parts("test_difference", row.test_difference),
        )
        for place, row in enumerate(result.rows, start=1)
    ]


def child_rows(result: FinalsResult) -> list[FinalChildRow]:
    """One row a function and child."""
    return [
        FinalChildRow(
            canonical=row.candidate.canonical,
            child=child.child,
            accuracy=child.accuracy,
            failures=child.failures,
            **_parts("difference", child.difference),
            p_holm=child.p_holm,
        )
        for row in result.rows
        for child in row.children
    ]


def training_rows(
    evaluations: Sequence[FinalEvaluationRecord], tests: Sequence[FinalTestRecord]
) -> list[FinalTrainingRow]:
    """Every training in the order stored, screening included."""
    measured = {(t.fingerprint, t.child, t.seed, t.measured_at): t.accuracy for t in tests}
    return [
        FinalTrainingRow(
            evaluation=e.key,
            fingerprint=e.fingerprint,
            child=e.child,
            seed=e.seed,
            steps=e.evaluation.steps,
            outcome=e.evaluation.outcome.value,
            reason=e.evaluation.reason,
            val_accuracy=e.evaluation.val_accuracy,
            # One transaction wrote both: a training of other steps with the same child and seed has another moment.
            test_accuracy=measured.get((e.fingerprint, e.child, e.seed, e.finished_at)),
            seconds=e.evaluation.seconds,
        )
        for e in evaluations
    ]


def _parts(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
