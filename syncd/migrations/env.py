"""Run by Alembic for each upgrade: the connection, and so the transaction, comes from `syncd.migrations`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
