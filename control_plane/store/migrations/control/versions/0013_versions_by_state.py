"""An index that finds what was taken down without reading every version.

Revision: 0013, after 0012.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("versions_state", "versions", ["state", "function", "digest"])


def downgrade() -> None:
    op.drop_index("versions_state", "versions")
