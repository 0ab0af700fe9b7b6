"""Run by Alembic inside :func:`keyhole.store.migrations.migrate`'s transaction."""

from __future__ import annotations

from alembic import context

from keyhole.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
