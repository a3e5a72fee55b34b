"""An index that finds what was taken down without reading every version.

Revision: 0011, after 0010.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("versions_state", "versions", ["state", "function", "digest"])


def downgrade() -> None:
    op.drop_index("versions_state", "versions")
