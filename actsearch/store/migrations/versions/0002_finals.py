"""Finals: their plan and result, their evaluations, test accuracies."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "finals",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "final_evaluations",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("finals.run_id"), primary_key=True),
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("child", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("reward", sa.Double, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("layers", sa.Text, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "test_accuracies",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("finals.run_id"), primary_key=True),
        sa.Column("fingerprint", sa.String(16), primary_key=True),
        sa.Column("child", sa.String(4096), primary_key=True),
        sa.Column("seed", sa.BigInteger, primary_key=True),
        sa.Column("accuracy", sa.Double, nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
    )
