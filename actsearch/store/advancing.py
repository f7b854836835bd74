"""One step of a search as the store takes it: a batch told, the next one asked, the controller's state after both."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from actsearch.store.records import Advance, BatchRecord, NewEvaluation, NewProposal
from actsearch.store.schema import BatchRow, ControllerRow, EvaluationRow, ProposalRow, RunRow


def advance(session: Session, run: RunRow, step: Advance) -> None:
    """Writes a step of a run within the session's transaction."""
    if step.told is not None:
        session.add(_batch(run.id, step.told))
    asked = session.scalar(select(func.max(EvaluationRow.number)).where(EvaluationRow.run_id == run.id)) or 0
    if evaluations := _evaluations(run.id, asked, step.new):
        session.execute(insert(EvaluationRow), evaluations)
    if proposals := _proposals(run.id, step.proposed):
        session.execute(insert(ProposalRow), proposals)
    session.execute(delete(ControllerRow).where(ControllerRow.run_id == run.id))
    session.execute(insert(ControllerRow).values(run_id=run.id, state=step.controller))
    run.trace, run.seconds = step.trace, step.seconds


def _batch(run_id: int, told: BatchRecord) -> BatchRow:
    return BatchRow(
        run_id=run_id, batch=told.batch, told_at=told.told_at, metrics=dict(told.metrics), digest=told.digest
    )


def _evaluations(run_id: int, asked: int, new: Sequence[NewEvaluation]) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "run_id": run_id,
            "number": number,
            "key": one.key,
            "tokens": list(one.tokens),
            "formula": one.formula,
            "canonical": one.canonical,
            "names": list(one.names),
            "seed": one.seed,
            "replicate": one.replicate,
            "rungs": [rung.model_dump(mode="json") for rung in one.rungs],
            "asked_at": now,
        }
        for number, one in enumerate(new, start=asked + 1)
    ]


def _proposals(run_id: int, proposed: Mapping[int, Sequence[NewProposal]]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "batch": batch,
            "slot": slot,
            "tokens": list(proposal.tokens),
            "evaluation": proposal.evaluation,
            "is_new": proposal.is_new,
        }
        for batch, slots in proposed.items()
        for slot, proposal in enumerate(slots)
    ]
