"""Runs the usage database's migrations on the connection that the caller opened."""

from __future__ import annotations

from alembic import context

from control_plane.store.series_tables import usage_totals

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=usage_totals.metadata,
    # SQLite cannot alter a column in place.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
