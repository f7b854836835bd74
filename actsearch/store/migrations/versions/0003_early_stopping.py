"""Where each child may end early, and how many steps it took."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("rungs", sa.JSON, nullable=False, server_default="[]"))
        # Of results stored before, unknown: it is asked only where some child was stopped, and none was.
        table.add_column(sa.Column("steps", sa.Integer, nullable=True))
