"""Alembic's entry. Always handed a connection by idp.kernel.schema."""

from alembic import context

from idp.kernel.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
