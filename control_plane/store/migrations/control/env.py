"""Runs the control database's migrations on the connection that the caller opened."""

from __future__ import annotations

from alembic import context

import control_plane.store.unit_of_work  # noqa: F401  (every table says so to the metadata)
from control_plane.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a column in place.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
