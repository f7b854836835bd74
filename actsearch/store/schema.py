"""The store's tables, as SQLAlchemy mappings with column types that SQLite and PostgreSQL share.

A new database gets them as they stand here, an older one by the revisions under `migrations/versions`; a test
compares the two.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored as UTC and returned with its zone (SQLite itself keeps none)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Reason(TypeDecorator[str]):
    """A line for people. A worker's own words may be in it, and PostgreSQL's texts hold no zero bytes: they go."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "")


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own way to declare it)
        datetime: UtcDateTime,
        bytes: LargeBinary,
        float: Double,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class RunRow(Base):
    """One search: what was asked for, its state and its trace."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Reason)
    config: Mapped[dict[str, Any]]
    command: Mapped[str] = mapped_column(Text)
    versions: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    seconds: Mapped[float]
    trace: Mapped[str] = mapped_column(String(64))


class BatchRow(Base):
    """One batch that the controller was told. Two controllers on one run collide on its primary key."""

    __tablename__ = "batches"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    told_at: Mapped[datetime]
    metrics: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))


class EvaluationRow(Base):
    """One child asked for; the columns from `outcome` on are written once, together."""

    __tablename__ = "evaluations"
    __table_args__ = (
        UniqueConstraint("run_id", "key", name="uq_evaluations_run_id_key"),
        # What `status` and the search ask without reading results, whose layers fill nearly all of the database.
        Index("ix_evaluations_outcome", "run_id", "outcome", "steps"),
        Index("ix_evaluations_replicate", "run_id", "replicate"),
        Index("ix_evaluations_reward", "run_id", "reward"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(16))
    tokens: Mapped[list[str]]
    formula: Mapped[str] = mapped_column(Text)
    canonical: Mapped[str] = mapped_column(Text)
    names: Mapped[list[str]]
    seed: Mapped[int] = mapped_column(BigInteger)
    replicate: Mapped[int]
    rungs: Mapped[list[dict[str, Any]]] = mapped_column(server_default="[]")
    asked_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(String(20))
    reward: Mapped[float | None]
    steps: Mapped[int | None]
    # The evaluation's JSON as text: pydantic reads it in one pass; a JSON column would be decoded twice. The layer
    # records, nine tenths of it, stand apart, since most readers do not want them.
    result: Mapped[str | None] = mapped_column(Text)
    layers: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None]


class ProposalRow(Base):
    """One slot of one batch."""

    __tablename__ = "proposals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "evaluation"], ["evaluations.run_id", "evaluations.key"], name="fk_proposals_evaluation"
        ),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tokens: Mapped[list[str]]
    evaluation: Mapped[str] = mapped_column(String(16))
    is_new: Mapped[bool]


class ControllerRow(Base):
    """A run's controller: one row, replaced in the transaction that tells a batch."""

    __tablename__ = "controllers"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    state: Mapped[bytes]


class FinalsRow(Base):
    """A run's finals: one at most. The plan is written when they begin, the result once, when they end."""

    __tablename__ = "finals"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Reason)
    plan: Mapped[str] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float]


class FinalEvaluationRow(Base):
    """One training of finals that has its result; written once."""

    __tablename__ = "final_evaluations"

    run_id: Mapped[int] = mapped_column(ForeignKey("finals.run_id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(16), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(16))
    child: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    reward: Mapped[float]
    result: Mapped[str] = mapped_column(Text)
    layers: Mapped[str] = mapped_column(Text)
    finished_at: Mapped[datetime]


class FinalTestRow(Base):
    """What one trained child of finals reached on the test images. Its key admits one measurement; none is replaced."""

    __tablename__ = "test_accuracies"

    run_id: Mapped[int] = mapped_column(ForeignKey("finals.run_id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(16), primary_key=True)
    child: Mapped[str] = mapped_column(String(4096), primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    accuracy: Mapped[float]
    measured_at: Mapped[datetime]


class VerificationRow(Base):
    """One verification of a run's finalists. The plan is written when it begins, the result once, when it ends."""

    __tablename__ = "verifications"

    run_id: Mapped[int] = mapped_column(ForeignKey("finals.run_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Reason)
    plan: Mapped[str] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float]


class VerificationEvaluationRow(Base):
    """One training of a run's verifications that has its result; written once."""

    __tablename__ = "verification_evaluations"

    run_id: Mapped[int] = mapped_column(ForeignKey("finals.run_id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(16), primary_key=True)
    result: Mapped[str] = mapped_column(Text)
    finished_at: Mapped[datetime]
