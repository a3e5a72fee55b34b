"""An index that finds when a key last called.

Revision: 0003, after 0002.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("usage_hourly_key", "usage_hourly", ["api_key", "hour_ms"])


def downgrade() -> None:
    op.drop_index("usage_hourly_key", "usage_hourly")
