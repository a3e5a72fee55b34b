"""Indexes that find an organization's events by their type, by what they tell of and by their time.

Revision: 0011, after 0010.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("outbox_type", "outbox", ["organization", "type", "sequence"])
    op.create_index("outbox_subject", "outbox", ["organization", "subject", "sequence"])
    op.create_index("outbox_time", "outbox", ["organization", "time_ms", "sequence"])


def downgrade() -> None:
    op.drop_index("outbox_time", "outbox")
    op.drop_index("outbox_subject", "outbox")
    op.drop_index("outbox_type", "outbox")
