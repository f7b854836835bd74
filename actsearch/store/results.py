"""Results as they come in: many in one statement, and the first one of an evaluation stays."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from actsearch.evaluation import Evaluation, LayerRecord
from actsearch.store.schema import EvaluationRow

KEYS_A_QUERY = 500
"""Keys looked up in one statement; databases limit how many parameters one may carry."""

LAYERS = TypeAdapter(tuple[LayerRecord, ...])
"""A column of its own, since it is most of a result and few ask for it."""


def finish(session: Session, run_id: int, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Gives evaluations of a run their results, where they are asked for and have none; those that it gave one."""
    first = {evaluation.evaluation: evaluation for evaluation in reversed(evaluations)}
    unfinished = _unfinished(session, run_id, list(first))
    taken = [evaluation for key, evaluation in reversed(first.items()) if key in unfinished]
    if taken:
        now = datetime.now(UTC)
        session.connection().execute(_FINISH, [_values(run_id, evaluation, now) for evaluation in taken])
    return taken


_COLUMNS = ("outcome", "reward", "steps", "result", "layers", "finished_at")
_FINISH = (
    update(EvaluationRow)
    .where(
        EvaluationRow.run_id == bindparam("of_run"),
        EvaluationRow.key == bindparam("of_key"),
        EvaluationRow.finished_at.is_(None),
    )
    .values({column: bindparam(column) for column in _COLUMNS})
)


def _values(run_id: int, evaluation: Evaluation, now: datetime) -> dict[str, Any]:
    values = (
        evaluation.outcome.value,
        evaluation.reward,
        evaluation.steps,
        evaluation.model_copy(update={"layers": ()}).to_json(),
        LAYERS.dump_json(evaluation.layers).decode(),
        now,
    )
    return {"of_run": run_id, "of_key": evaluation.evaluation, **dict(zip(_COLUMNS, values, strict=True))}


def _unfinished(session: Session, run_id: int, keys: Sequence[str]) -> set[str]:
    """Those of the keys that the run has asked for and that have no result."""
    asked = select(EvaluationRow.key).where(EvaluationRow.run_id == run_id, EvaluationRow.finished_at.is_(None))
    found: set[str] = set()
    for start in range(0, len(keys), KEYS_A_QUERY):
        wanted = EvaluationRow.key.in_(keys[start : start + KEYS_A_QUERY])
        found.update(session.scalars(asked.where(wanted)))
    return found
