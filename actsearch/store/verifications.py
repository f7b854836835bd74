"""The store's part on verifications: plans, each training's result as it comes, then what was found.

A run may have several, numbered from 1, since none touches the test images. A training belongs to the run, so that two
verifications with a child, data set, recipe and seed in common share it; its first result stays.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from actsearch.errors import RunError
from actsearch.evaluation import Evaluation
from actsearch.store.records import RunState, VerificationRecord
from actsearch.store.schema import VerificationEvaluationRow, VerificationRow
from actsearch.verification import VerificationPlan, VerificationResult


class VerificationStore:
    """The verifications of the runs in a store: `Store.verifications`.

    Args:
        engine: for transactions that read.
        writing: the same database, for those that write.
        run_id: finds a run's row by its name, or raises RunError.
    """

    def __init__(self, engine: Engine, writing: Engine, run_id: Callable[[Session, str], int]) -> None:
        self._engine = engine
        self._writer = writing
        self._run_id = run_id

    def of(self, run: str) -> list[VerificationRecord]:
        """All of a run, in the order begun."""
        with Session(self._engine) as session:
            of = VerificationRow.run_id == self._run_id(session, run)
            return [_record(row) for row in session.scalars(select(VerificationRow).where(of).order_by("number"))]

    def evaluations(self, run: str) -> dict[str, Evaluation]:
        """Every training with a result by its key, without layer records."""
        with Session(self._engine) as session:
            of = VerificationEvaluationRow.run_id == self._run_id(session, run)
            rows = session.scalars(select(VerificationEvaluationRow).where(of).order_by("finished_at", "key"))
            return {row.key: Evaluation.from_json(row.result) for row in rows}

    def begin(self, run: str, plan: VerificationPlan) -> VerificationRecord:
        """Begins another verification of a run, in state `running`; `RunError` where somebody else did meanwhile."""
        try:
            with Session(self._writer) as session, session.begin():
                run_id = self._run_id(session, run)
                of = VerificationRow.run_id == run_id
                last = session.scalar(select(func.max(VerificationRow.number)).where(of)) or 0
                row = VerificationRow(
                    run_id=run_id,
                    number=last + 1,
                    state=RunState.RUNNING.value,
                    reason="",
                    plan=plan.model_dump_json(),
                    started_at=datetime.now(UTC),
                    seconds=0.0,
                )
                session.add(row)
                session.flush()
                return _record(row)
        except IntegrityError as err:
            raise RunError(f"run {run!r} is verified by another process too; only one may do so") from err

    def record(self, evaluation: Evaluation) -> bool:
        """Stores a training's result; False where it has one, which stays."""
        kept = evaluation.model_copy(update={"layers": (), "test_accuracy": None})
        try:
            with Session(self._writer) as session, session.begin():
                session.execute(
                    insert(VerificationEvaluationRow).values(
                        run_id=self._run_id(session, evaluation.run),
                        key=evaluation.evaluation,
                        result=kept.to_json(),
                        finished_at=datetime.now(UTC),
                    )
                )
        except IntegrityError:
            return False
        return True

    def set_state(
        self, run: str, number: int, state: RunState, reason: str = "", *, seconds: float | None = None
    ) -> None:
        """Says what one is doing and why; `seconds` of wall-clock time so far where they are known."""
        with Session(self._writer) as session, session.begin():
            row = session.get_one(VerificationRow, (self._run_id(session, run), number))
            row.state, row.reason = state.value, reason
            if seconds is not None:
                row.seconds = seconds

    def finish(self, run: str, number: int, result: VerificationResult) -> None:
        """Writes what was found, in state `done`; what is there stays."""
        with Session(self._writer) as session, session.begin():
            row = session.get_one(VerificationRow, (self._run_id(session, run), number))
            if row.result is None:
                row.result, row.finished_at = result.model_dump_json(), datetime.now(UTC)
            row.state, row.reason = RunState.DONE.value, ""


def _record(row: VerificationRow) -> VerificationRecord:
    return VerificationRecord(
        number=row.number,
        state=RunState(row.state),
        reason=row.reason,
        plan=VerificationPlan.model_validate_json(row.plan),
        result=None if row.result is None else VerificationResult.model_validate_json(row.result),
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=row.seconds,
    )
