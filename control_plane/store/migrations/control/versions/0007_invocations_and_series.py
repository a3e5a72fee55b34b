"""Who did it as a column of the audit, and indexes for each way of asking it.

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEXES = ("actor_user", "action", "subject", "request")


def upgrade() -> None:
    """Add the column, fill it from what each entry says, and index it."""
    empty = sa.Column("actor_user", sa.String(), nullable=False, server_default="")
    op.add_column("audit_entries", empty)
    _fill()
    for name in _INDEXES:
        op.create_index(f"audit_entries_{name}", "audit_entries", ["organization", name, "sequence"])
    op.create_index("audit_entries_time", "audit_entries", ["organization", "at_ms", "sequence"])


def downgrade() -> None:
    """Drop the indexes and the column; what each entry says is untouched."""
    op.drop_index("audit_entries_time", "audit_entries")
    for name in _INDEXES:
        op.drop_index(f"audit_entries_{name}", "audit_entries")
    op.drop_column("audit_entries", "actor_user")


def _fill() -> None:
    """Copy the actor's id; for this moment only, rows may be changed. Their hashes cover the original."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_update")
        op.execute("UPDATE audit_entries SET actor_user = COALESCE(actor::json->>'user', '')")
        op.execute("ALTER TABLE audit_entries ENABLE TRIGGER audit_entries_update")
        return
    op.execute("DROP TRIGGER audit_entries_update")
    op.execute("UPDATE audit_entries SET actor_user = COALESCE(json_extract(actor, '$.user'), '')")
    op.execute(
        "CREATE TRIGGER audit_entries_update BEFORE UPDATE ON audit_entries "
        "BEGIN SELECT RAISE(ABORT, 'rows of audit_entries are only ever added'); END"
    )
