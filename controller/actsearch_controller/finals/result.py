"""The statement of finals, made of the accuracies and the judge's verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actsearch.finals import Candidate, ChildRow, Estimate, FinalRow, FinalsPlan, FinalsResult
from actsearch_controller.finals.judgement import ALPHA, Judge, Mask
from actsearch_controller.finals.statistics import Array, interval, one_sided_p


@dataclass(frozen=True)
class Scores:
    """What was measured in the last stage; functions in the order of the judge, NaN where one was dropped before.

    Attributes:
        validation: accuracy, ``(functions, children, seeds)``.
        test: the same on the test images.
        again: of the finalists as the search trained them, ``(functions, seeds)``; NaN for controls.
    """

    validation: Array
    test: Array
    again: Array


def make_result(
    plan: FinalsPlan, functions: Sequence[Candidate], judge: Judge, standing: Mask, scores: Scores
) -> FinalsResult:
    """The result of finals whose trainings are all done.

    Args:
        plan: what they followed.
        functions: finalists and controls.
        judge: the rules.
        standing: who was not dropped, ``(functions,)``.
        scores: what they reached.
    """
    p = judge.p(scores.validation, standing)
    p_holm = judge.p_holm(p)
    ranks = judge.ranks(scores.validation, standing)
    tied = judge.tied(scores.validation, standing)
    children = _children(plan, judge, standing, scores.validation)
    seeds = [int(np.isfinite(row[0]).sum()) for row in scores.validation]
    rows = []
    for k, candidate in enumerate(functions):
        validation, test = scores.validation[:, :, : seeds[k]], scores.test[:, :, : seeds[k]]
        is_tested = bool(standing[k]) and k != judge.reference
        rows.append(
            FinalRow(
                candidate=candidate,
                seeds=seeds[k],
                is_dropped=not standing[k],
                mean_rank=float(ranks[k]) if standing[k] else None,
                difference=_difference(validation, k, judge.reference),
                p=float(p[k]) if is_tested else None,
                p_holm=float(p_holm[k]) if judge.finalists[k] else None,
                is_better=bool(judge.finalists[k] and p_holm[k] <= ALPHA),
                is_tied=bool(tied[k]),
                children=tuple(children[k]),
                again_accuracy=None if candidate.search_accuracy is None else float(np.nanmean(scores.again[k])),
                test_accuracy=float(test[k].mean()),
                test_difference=_difference(test, k, judge.reference),
            )
        )
    best = int(judge.best(scores.validation, standing))
    order = sorted(range(len(rows)), key=lambda k: (not standing[k], k != best, *_place(rows[k])))
    return FinalsResult(
        rows=tuple(rows[k] for k in order),
        reference=plan.controls[0].names[0],
        children=tuple(protocol.child.name for protocol in plan.panel),
        seeds=judge.seeds,
        screened=len(plan.candidates) if plan.is_screened else 0,
    )


def _place(row: FinalRow) -> tuple[float, float]:
    return row.mean_rank or 0.0, -(row.difference.mean if row.difference else 0.0)


def _difference(accuracies: Array, k: int, reference: int) -> Estimate | None:
    """Function k minus the reference, mean over children ``(functions, children, seeds)``; None for the reference."""
    if k == reference:
        return None
    return estimate((accuracies[k] - accuracies[reference]).mean(axis=0))


def estimate(differences: Array) -> Estimate:
    """Mean and 95 % t interval of one number a seed, ``(seeds,)``."""
    low, high = interval(differences)
    return Estimate(mean=float(differences.mean()), low=float(low), high=float(high))


def _children(plan: FinalsPlan, judge: Judge, standing: Mask, accuracies: Array) -> list[list[ChildRow]]:
    """The rows of each function, one a child of the panel."""
    rows: list[list[ChildRow]] = [[] for _ in standing]
    for c, protocol in enumerate(plan.panel):
        differences = accuracies[:, c] - accuracies[judge.reference, c]  # (functions, seeds)
        p_holm = judge.p_holm(np.where(standing, one_sided_p(differences), 1.0))
        for k, row in enumerate(rows):
            seen = accuracies[k, c][np.isfinite(accuracies[k, c])]
            row.append(
                ChildRow(
                    child=protocol.child.name,
                    accuracy=float(seen.mean()),
                    failures=int((seen == 0).sum()),
                    difference=None if k == judge.reference else estimate(differences[k, : len(seen)]),
                    p_holm=float(p_holm[k]) if judge.finalists[k] else None,
                )
            )
    return rows
