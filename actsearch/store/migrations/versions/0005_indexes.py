"""Indexes that answer `status` without reading the results."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_evaluations_outcome", "evaluations", ["run_id", "outcome", "steps"])
    op.create_index("ix_evaluations_replicate", "evaluations", ["run_id", "replicate"])
    op.create_index("ix_evaluations_reward", "evaluations", ["run_id", "reward"])
