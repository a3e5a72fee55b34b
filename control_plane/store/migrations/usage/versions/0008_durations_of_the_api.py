"""How long the API's requests took, by buckets, in the machine's samples.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BUCKETS = tuple(f"api_bucket_{number}" for number in range(15))


def upgrade() -> None:
    for name in _BUCKETS:
        op.add_column("monitor_system", sa.Column(name, sa.Float(), nullable=True))


def downgrade() -> None:
    for name in reversed(_BUCKETS):
        op.drop_column("monitor_system", name)
