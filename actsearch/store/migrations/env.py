"""Alembic's entry point: runs the revisions on the connection that `actsearch.store.database` passes in."""

from alembic import context

from actsearch.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
