"""What stands in the database as records: runs, evaluations and the function that stands first."""

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from actsearch.config import RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import FLOOR_REWARD, Evaluation, Outcome, Rung
from actsearch.standings import Standings
from actsearch.store.records import BestRecord, EvaluationRecord, RunRecord, RunState
from actsearch.store.results import LAYERS
from actsearch.store.schema import EvaluationRow, RunRow


def run_row(session: Session, name: str) -> RunRow:
    """The row of a run; `RunError` with the names that exist where there is none."""
    row = session.scalar(select(RunRow).where(RunRow.name == name))
    if row is None:
        known = session.scalars(select(RunRow.name).order_by(RunRow.id)).all()
        raise RunError(f"no run named {name!r}; known: {', '.join(known) or 'none yet'}")
    return row


def run_record(row: RunRow) -> RunRecord:
    return RunRecord(
        name=row.name,
        state=RunState(row.state),
        reason=row.reason,
        config=RunConfig.parse(row.config),
        command=row.command,
        versions=row.versions,
        created_at=row.created_at,
        seconds=row.seconds,
        trace=row.trace,
    )


def evaluation_record(row: EvaluationRow, *, layers: bool) -> EvaluationRecord:
    evaluation = None if row.result is None else Evaluation.from_json(row.result)
    if evaluation is not None and layers and row.layers is not None:
        evaluation = evaluation.model_copy(update={"layers": LAYERS.validate_json(row.layers)})
    return EvaluationRecord(
        number=row.number,
        key=row.key,
        tokens=tuple(row.tokens),
        formula=row.formula,
        canonical=row.canonical,
        names=tuple(row.names),
        seed=row.seed,
        replicate=row.replicate,
        rungs=tuple(Rung.parse(rung) for rung in row.rungs),
        evaluation=evaluation,
        asked_at=row.asked_at,
        finished_at=row.finished_at,
    )


def best(session: Session, run_id: int) -> BestRecord | None:
    """The function of a run that stands first; None before any has trained.

    Of many thousand functions only those trained again, few, and the first of the others are looked at.
    """
    # A null outcome, which is that of an unfinished evaluation, is not unequal either.
    mine = (EvaluationRow.run_id == run_id, EvaluationRow.outcome != Outcome.STOPPED.value)
    again = select(EvaluationRow.canonical).where(*mine, EvaluationRow.replicate > 0)
    rewards = select(EvaluationRow.canonical, EvaluationRow.reward)
    standings = Standings()
    repeated = rewards.where(*mine, EvaluationRow.canonical.in_(again)).order_by(EvaluationRow.number)
    once = rewards.where(*mine, EvaluationRow.canonical.not_in(again))
    best_once = once.order_by(EvaluationRow.reward.desc(), EvaluationRow.number).limit(1)
    # Without an index on the texts, which may be too long for one, this reads a column of every row.
    found = session.execute(repeated).all() if session.scalar(select(again.exists())) else []
    for canonical, reward in (*found, *session.execute(best_once)):
        standings.add(canonical, reward or FLOOR_REWARD)
    first = standings.first
    if first is None or first.mean <= FLOOR_REWARD:
        return None
    row = session.scalars(
        select(EvaluationRow)
        .options(load_only(EvaluationRow.formula, EvaluationRow.canonical, EvaluationRow.names))
        .where(*mine, EvaluationRow.canonical == first.function)
        .order_by(EvaluationRow.number)
        .limit(1)
    ).one()
    return BestRecord(
        number=row.number,
        formula=row.formula,
        canonical=row.canonical,
        names=tuple(row.names),
        reward=first.mean,
        trainings=len(first.rewards),
    )
