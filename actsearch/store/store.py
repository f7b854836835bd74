"""The run store: what every search asked, was told and learned.

Queues forget, this does not. Only the controller's process writes; anyone may read meanwhile. Every method is one
transaction, so that a process killed anywhere leaves the state before it or after it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import ColumnElement, Engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from actsearch.config import RunConfig
from actsearch.errors import RunError, RunExistsError
from actsearch.evaluation import Evaluation, Outcome
from actsearch.store.advancing import advance
from actsearch.store.database import connect, reader, writer
from actsearch.store.driving import driver, sole_driver
from actsearch.store.finals import FinalsStore
from actsearch.store.reading import best, evaluation_record, run_record, run_row
from actsearch.store.records import (
    Advance,
    BatchRecord,
    BestRecord,
    EvaluationRecord,
    ProposalRecord,
    RunRecord,
    RunState,
    RunSummary,
)
from actsearch.store.results import KEYS_A_QUERY, finish
from actsearch.store.schema import BatchRow, ControllerRow, EvaluationRow, ProposalRow, RunRow
from actsearch.store.verifications import VerificationStore

ENVIRONMENT = "environment"
"""Key among a run's versions: fingerprint and parts of the machines and data that it is bound to."""


class Store:
    """A database of runs. Use `Store.open`, and `close` it or use it in a `with`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reader(engine)
        self._writer = writer(engine)
        self._run_ids: dict[str, int] = {}
        self.finals = FinalsStore(self._engine, self._writer, self._run_id)
        """The finals of its runs."""
        self.verifications = VerificationStore(self._engine, self._writer, self._run_id)
        """The verifications of its runs."""

    @classmethod
    def open(cls, where: str | Path | URL, *, create: bool = True) -> Self:
        """The store at a path (SQLite) or URL (`postgresql+psycopg://…`), its schema brought up to date.

        Args:
            where: path of the SQLite file, or a database URL.
            create: whether a missing file, or the tables of an empty database, are made. Who only reads says False.

        Raises:
            RunError: no file or tables with `create=False`, an unreachable database, or one of a newer actsearch.
        """
        return cls(connect(where, create=create))

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_id(self, session: Session, name: str) -> int:
        """The id of a run, looked up once: runs are neither deleted nor renamed."""
        if name not in self._run_ids:
            self._run_ids[name] = run_row(session, name).id
        return self._run_ids[name]

    @contextmanager
    def sole_driver(self, name: str) -> Iterator[None]:
        """Held by the one process that drives a run; on PostgreSQL, among all machines that use the database.

        A file of SQLite is of one machine, and the lock beside it is enough (actsearch.runs.RunFolder.lock).

        Raises:
            RunError: another process holds it.
        """
        if self._engine.dialect.name != "postgresql":
            yield
            return
        with Session(self._engine) as session:
            run_id = self._run_id(session, name)
        with sole_driver(self._writer, name, run_id):
            yield

    # --- readers ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        with Session(self._engine) as session:
            return [run_record(row) for row in session.scalars(select(RunRow).order_by(RunRow.id))]

    def run(self, name: str) -> RunRecord:
        """The run of that name; `RunError` with the names that exist where there is none."""
        with Session(self._engine) as session:
            return run_record(run_row(session, name))

    def driver(self, name: str) -> str | None:
        """Who drives a run of a PostgreSQL database, as `actsearch HOST PID`; None where nobody does, and on SQLite."""
        with Session(self._engine) as session:
            run_id = self._run_id(session, name)
        return driver(self._engine, run_id) if self._engine.dialect.name == "postgresql" else None

    def batches(self, name: str) -> list[BatchRecord]:
        """The batches told, in order."""
        with Session(self._engine) as session:
            rows = session.scalars(
                select(BatchRow).where(BatchRow.run_id == self._run_id(session, name)).order_by(BatchRow.batch)
            )
            return [BatchRecord(batch=r.batch, told_at=r.told_at, metrics=r.metrics, digest=r.digest) for r in rows]

    def proposals(self, name: str, *, since: int = 0) -> list[ProposalRecord]:
        """The proposals of batch `since` and later, told or not, in order, each with its evaluation's reward."""
        with Session(self._engine) as session:
            run_id = self._run_id(session, name)
            rows = session.execute(
                select(ProposalRow, EvaluationRow.reward)
                .join(
                    EvaluationRow,
                    (EvaluationRow.run_id == ProposalRow.run_id) & (EvaluationRow.key == ProposalRow.evaluation),
                )
                .where(ProposalRow.run_id == run_id, ProposalRow.batch >= since)
                .order_by(ProposalRow.batch, ProposalRow.slot)
            )
            return [
                ProposalRecord(
                    batch=row.batch,
                    slot=row.slot,
                    tokens=tuple(row.tokens),
                    evaluation=row.evaluation,
                    is_new=row.is_new,
                    reward=reward,
                )
                for row, reward in rows
            ]

    def evaluations(self, name: str, *, layers: bool = True) -> list[EvaluationRecord]:
        """Every evaluation asked for, finished or not, in the order asked.

        Args:
            name: the run.
            layers: whether to read each evaluation's layer records too; without them it is three times faster.
        """
        return self._evaluations(name, layers=layers)

    def lookup(self, name: str, keys: Sequence[str]) -> dict[str, EvaluationRecord]:
        """Those of the evaluations with these keys that the run has asked for, by key, without layer records."""
        found: dict[str, EvaluationRecord] = {}
        for start in range(0, len(keys), KEYS_A_QUERY):
            wanted = EvaluationRow.key.in_(keys[start : start + KEYS_A_QUERY])
            found |= {record.key: record for record in self._evaluations(name, wanted, layers=False)}
        return found

    def _evaluations(self, name: str, *where: ColumnElement[bool], layers: bool = True) -> list[EvaluationRecord]:
        with Session(self._engine) as session:
            rows = session.scalars(
                select(EvaluationRow)
                .where(EvaluationRow.run_id == self._run_id(session, name), *where)
                .options(*(() if layers else (defer(EvaluationRow.layers),)))
            )
            # Sorted here: asked for in order, SQLite goes through all rows of the run to find a few keys.
            return sorted((evaluation_record(row, layers=layers) for row in rows), key=lambda record: record.number)

    def summary(self, name: str) -> RunSummary:
        """Counts by outcome, the best function so far and how many batches there are."""
        with Session(self._engine) as session:
            run_id = self._run_id(session, name)
            counts = session.execute(
                select(EvaluationRow.outcome, func.count(), func.sum(EvaluationRow.steps))
                .where(EvaluationRow.run_id == run_id)
                .group_by(EvaluationRow.outcome)
            ).all()
            by_outcome = {Outcome(outcome): count for outcome, count, _ in counts if outcome is not None}
            steps = {Outcome(outcome): steps or 0 for outcome, _, steps in counts if outcome is not None}
            last = session.scalar(select(func.max(ProposalRow.batch)).where(ProposalRow.run_id == run_id))
            last_new = session.scalar(
                select(func.max(ProposalRow.batch)).where(ProposalRow.run_id == run_id, ProposalRow.is_new)
            )
            told = session.scalar(select(func.count()).select_from(BatchRow).where(BatchRow.run_id == run_id))
            return RunSummary(
                asked=sum(count for _, count, _ in counts),
                told=sum(by_outcome.values()),
                by_outcome={outcome: by_outcome[outcome] for outcome in Outcome if outcome in by_outcome},
                steps=steps,
                best=best(session, run_id),
                batches_asked=0 if last is None else last + 1,
                batches_told=told or 0,
                last_new_batch=-1 if last_new is None else last_new,
            )

    def best(self, name: str) -> BestRecord | None:
        """The function that stands first; None before any has trained."""
        with Session(self._engine) as session:
            return best(session, self._run_id(session, name))

    def controller(self, name: str) -> bytes | None:
        """The controller's state after the last `advance`; None before the first."""
        with Session(self._engine) as session:
            row = session.get(ControllerRow, self._run_id(session, name))
            return None if row is None else row.state

    # --- writers ---------------------------------------------------------------------------------------------------

    def create_run(self, name: str, config: RunConfig, *, command: str, versions: Mapping[str, str]) -> RunRecord:
        """A new run, in state `running`, that has asked for nothing yet; `RunExistsError` where the name is taken."""
        row = RunRow(
            name=name,
            state=RunState.RUNNING.value,
            reason="",
            config=config.model_dump(mode="json"),
            command=command,
            versions=dict(versions),
            created_at=datetime.now(UTC),
            seconds=0.0,
            trace="",
        )
        try:
            with Session(self._writer) as session, session.begin():
                session.add(row)
                session.flush()
                return run_record(row)
        except IntegrityError as err:
            raise RunExistsError(f"there is a run named {name!r} already; choose another name or resume it") from err

    def record(self, evaluation: Evaluation) -> bool:
        """Stores one result of a run, as `record_all` does; whether it was stored."""
        return bool(self.record_all(evaluation.run, [evaluation]))

    def record_all(self, name: str, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """Stores results of a run in one transaction; the first one of an evaluation stays for good.

        Returns:
            Those that were stored, in the order given: not one whose evaluation has its result already, or that the
            run never asked for (a queue that outlived an older run of the same name may still deliver such).
        """
        with Session(self._writer) as session, session.begin():
            return finish(session, self._run_id(session, name), evaluations)

    def advance(self, name: str, step: Advance) -> None:
        """Tells a batch, asks for the next and replaces the controller's state, all or nothing.

        Raises:
            RunError: another controller has told or asked the same batch.
        """
        try:
            with Session(self._writer) as session, session.begin():
                advance(session, run_row(session, name), step)
        except IntegrityError as err:
            raise RunError(f"run {name!r} was advanced by another controller meanwhile; only one may drive it") from err

    def set_state(self, name: str, state: RunState, reason: str = "", *, seconds: float | None = None) -> None:
        """Says what the run is doing and why; `seconds` of search so far where they are known."""
        with Session(self._writer) as session, session.begin():
            row = run_row(session, name)
            row.state, row.reason = state.value, reason
            if seconds is not None:
                row.seconds = seconds

    def set_environment(self, name: str, environment: str) -> None:
        """Says what the run is bound to, among the versions that decide its numbers; replaces what was said before."""
        with Session(self._writer) as session, session.begin():
            row = run_row(session, name)
            row.versions = {**row.versions, ENVIRONMENT: environment}

    def set_config(self, name: str, config: RunConfig) -> None:
        """Replaces the run's settings, when it is resumed with another budget."""
        with Session(self._writer) as session, session.begin():
            run_row(session, name).config = config.model_dump(mode="json")
