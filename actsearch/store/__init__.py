"""The run store: SQLAlchemy 2 on SQLite (or PostgreSQL by URL), migrated by Alembic when it is opened.

with Store.open("runs/first/store.sqlite", create=False) as store:
    for record in store.evaluations("first"):
        print(record.number, record.formula, record.evaluation and record.evaluation.reward)
"""

from actsearch.store.finals import FinalsStore
from actsearch.store.records import (
    Advance,
    BatchRecord,
    BestRecord,
    EvaluationRecord,
    FinalEvaluationRecord,
    FinalsRecord,
    FinalTestRecord,
    NewEvaluation,
    NewProposal,
    ProposalRecord,
    RunRecord,
    RunState,
    RunSummary,
    VerificationRecord,
    share_of_steps_saved,
)
from actsearch.store.store import Store
from actsearch.store.verifications import VerificationStore

__all__ = [
    "Advance",
    "BatchRecord",
    "BestRecord",
    "EvaluationRecord",
    "FinalEvaluationRecord",
    "FinalTestRecord",
    "FinalsRecord",
    "FinalsStore",
    "NewEvaluation",
    "NewProposal",
    "ProposalRecord",
    "RunRecord",
    "RunState",
    "RunSummary",
    "Store",
    "VerificationRecord",
    "VerificationStore",
    "share_of_steps_saved",
]
