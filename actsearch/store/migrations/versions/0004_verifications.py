"""Verifications: plans and results, and their evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "verifications",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("finals.run_id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "verification_evaluations",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("finals.run_id"), primary_key=True),
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    )
