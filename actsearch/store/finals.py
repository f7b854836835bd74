"""The store's part on finals: a plan, then each training's result as it comes, then the statement.

As for a search, every method is one transaction, the first result of a training stays, and whoever drives the finals
can go on from here after a kill. What was measured on test images stands in a table of its own, each number once.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from actsearch.errors import RunError
from actsearch.evaluation import FLOOR_REWARD, Evaluation, LayerRecord, Outcome
from actsearch.finals import FinalsPlan, FinalsResult
from actsearch.store.records import FinalEvaluationRecord, FinalsRecord, FinalTestRecord, RunState
from actsearch.store.results import LAYERS
from actsearch.store.schema import FinalEvaluationRow, FinalsRow, FinalTestRow


class FinalsStore:
    """The finals of the runs in a store: `Store.finals`.

    Args:
        engine: for transactions that read.
        writing: the same database, for those that write.
        run_id: finds a run's row by its name, or raises RunError.
    """

    def __init__(self, engine: Engine, writing: Engine, run_id: Callable[[Session, str], int]) -> None:
        self._engine = engine
        self._writer = writing
        self._run_id = run_id

    def get(self, run: str) -> FinalsRecord | None:
        """The finals of a run; None where none were begun."""
        with Session(self._engine) as session:
            row = session.get(FinalsRow, self._run_id(session, run))
            return None if row is None else _record(row)

    def told(self, run: str) -> int:
        """How many trainings have their result."""
        with Session(self._engine) as session:
            of = FinalEvaluationRow.run_id == self._run_id(session, run)
            return session.scalar(select(func.count()).select_from(FinalEvaluationRow).where(of)) or 0

    def evaluations(self, run: str) -> list[FinalEvaluationRecord]:
        """Every training with a result, in the order stored, without layer records."""
        with Session(self._engine) as session:
            rows = session.scalars(
                select(FinalEvaluationRow)
                .where(FinalEvaluationRow.run_id == self._run_id(session, run))
                .order_by(FinalEvaluationRow.finished_at, FinalEvaluationRow.key)
            )
            return [
                FinalEvaluationRecord(
                    key=row.key,
                    fingerprint=row.fingerprint,
                    child=row.child,
                    seed=row.seed,
                    evaluation=Evaluation.from_json(row.result),
                    finished_at=row.finished_at,
                )
                for row in rows
            ]

    def layers(self, run: str, key: str) -> tuple[LayerRecord, ...]:
        """The layer records of one training; empty where it has no result."""
        with Session(self._engine) as session:
            row = session.get(FinalEvaluationRow, (self._run_id(session, run), key))
            return () if row is None else LAYERS.validate_json(row.layers)

    def test_accuracies(self, run: str) -> list[FinalTestRecord]:
        """Everything measured on test images, by function, child and seed."""
        with Session(self._engine) as session:
            rows = session.scalars(select(FinalTestRow).where(FinalTestRow.run_id == self._run_id(session, run)))
            # Sorted here: databases order letters by their locale.
            return [
                FinalTestRecord(
                    fingerprint=row.fingerprint,
                    child=row.child,
                    seed=row.seed,
                    accuracy=row.accuracy,
                    measured_at=row.measured_at,
                )
                for row in sorted(rows, key=lambda row: (row.fingerprint, row.child, row.seed))
            ]

    def begin(self, run: str, plan: FinalsPlan) -> FinalsRecord:
        """Begins the finals of a run, in state `running`; `RunError` where it has some: a run has one."""
        try:
            with Session(self._writer) as session, session.begin():
                row = FinalsRow(
                    run_id=self._run_id(session, run),
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
            raise RunError(f"run {run!r} has finals already; a run has one") from err

    def record(self, evaluation: Evaluation, *, fingerprint: str, child: str, seed: int, measures_test: bool) -> bool:
        """Stores a training's result, and what it says of the test images; the first one stays for good.

        Args:
            evaluation: the result.
            fingerprint: the function's.
            child: the child's name.
            seed: the training's.
            measures_test: whether its job asked for the test images. A training that failed counts as accuracy 0.

        Returns:
            Whether it was stored: False where the training has its result.

        Raises:
            RunError: a trained child without the test accuracy that its job asked for.
        """
        trained = evaluation.outcome is Outcome.TRAINED
        if measures_test and trained and evaluation.test_accuracy is None:
            raise RunError(f"worker {evaluation.worker!r} has not measured the test images that its job asked for")
        now = datetime.now(UTC)
        try:
            with Session(self._writer) as session, session.begin():
                of = {"run_id": self._run_id(session, evaluation.run), "fingerprint": fingerprint, "child": child}
                session.execute(
                    insert(FinalEvaluationRow).values(
                        **of,
                        seed=seed,
                        key=evaluation.evaluation,
                        reward=evaluation.reward,
                        result=evaluation.model_copy(update={"layers": (), "test_accuracy": None}).to_json(),
                        layers=LAYERS.dump_json(evaluation.layers).decode(),
                        finished_at=now,
                    )
                )
                if measures_test:
                    accuracy = evaluation.test_accuracy if trained else FLOOR_REWARD
                    session.execute(insert(FinalTestRow).values(**of, seed=seed, accuracy=accuracy, measured_at=now))
        except IntegrityError:
            return False
        return True

    def set_state(self, run: str, state: RunState, reason: str = "", *, seconds: float | None = None) -> None:
        """Says what the finals are doing and why; `seconds` of wall-clock time so far where they are known."""
        with Session(self._writer) as session, session.begin():
            row = session.get_one(FinalsRow, self._run_id(session, run))
            row.state, row.reason = state.value, reason
            if seconds is not None:
                row.seconds = seconds

    def finish(self, run: str, result: FinalsResult) -> None:
        """Writes the statement, in state `done`; one that is there stays."""
        with Session(self._writer) as session, session.begin():
            row = session.get_one(FinalsRow, self._run_id(session, run))
            if row.result is None:
                row.result, row.finished_at = result.model_dump_json(), datetime.now(UTC)
            row.state, row.reason = RunState.DONE.value, ""


def _record(row: FinalsRow) -> FinalsRecord:
    return FinalsRecord(
        state=RunState(row.state),
        reason=row.reason,
        plan=FinalsPlan.model_validate_json(row.plan),
        result=None if row.result is None else FinalsResult.model_validate_json(row.result),
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=row.seconds,
    )
