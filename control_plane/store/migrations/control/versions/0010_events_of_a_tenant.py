"""An index that finds one organization's events among everybody's.

Revision: 0010, after 0009.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("outbox_organization", "outbox", ["organization", "sequence"])


def downgrade() -> None:
    op.drop_index("outbox_organization", "outbox")
