"""What review policies and reviews gained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("kind", sa.String, "publish"),
    ("policy", sa.Text, "{}"),
    ("base", sa.String, ""),
    ("paths", sa.Text, "[]"),
    ("risks", sa.Text, "[]"),
)
_INDEXES = {
    "reviews_organization": ["organization", "id"],
    "reviews_state": ["organization", "state", "id"],
    "reviews_submitter": ["organization", "submitter", "id"],
}


def upgrade() -> None:
    """Let a review know its kind, its policy and what it changes; let inboxes be found by an index."""
    for name, kind, default in _COLUMNS:
        op.add_column("reviews", sa.Column(name, kind(), nullable=False, server_default=default))
    # What was submitted before keeps the number of approvals that was asked for then.
    op.execute("UPDATE reviews SET policy = '{\"approvals\": ' || required || '}'")
    for name, columns in _INDEXES.items():
        op.create_index(name, "reviews", columns, unique=False)


def downgrade() -> None:
    """Take it back: reviews of newer kinds and states go, and what was taken down is retired."""
    op.execute("DELETE FROM reviews WHERE kind <> 'publish' OR state = 'changes_requested'")
    op.execute("UPDATE versions SET state = 'retired' WHERE state = 'taken_down'")
    for name in _INDEXES:
        op.drop_index(name, "reviews")
    for name, _, _ in reversed(_COLUMNS):
        op.drop_column("reviews", name)
