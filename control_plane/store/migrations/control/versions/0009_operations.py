"""What clean-ups remember, and the indexes that find what is over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_INDEXES = (
    ("credentials_expires", "credentials", "expires_ms"),
    ("credentials_revoked", "credentials", "revoked_ms"),
    ("api_keys_expires", "api_keys", "expires_ms"),
    ("idempotency_keys_created", "idempotency_keys", "created_ms"),
)


def upgrade() -> None:
    op.create_table(
        "unneeded_content",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest"),
    )
    for name, table, column in _INDEXES:
        op.create_index(name, table, [column])


def downgrade() -> None:
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table)
    op.drop_table("unneeded_content")
