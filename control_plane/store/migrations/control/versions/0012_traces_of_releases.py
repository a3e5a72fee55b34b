"""The trace in which a release was asked for, so that its way to the calls is a part of it.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("trace", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("releases", "trace")
