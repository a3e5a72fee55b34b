"""Guards of releases and who made them; networks, modes and second secrets of API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY_COLUMNS = (
    ("to_cut", sa.Boolean(), sa.false()),
    ("modes", sa.Text(), "[]"),
    ("networks", sa.Text(), "[]"),
    ("previous_sha256", sa.String(), ""),
    ("previous_hint", sa.String(), ""),
    ("previous_until_ms", sa.BigInteger(), "0"),
    ("revision", sa.Integer(), "1"),
)
_RELEASE_COLUMNS = (
    ("created_by_name", sa.String(), ""),
    ("guard", sa.Text(), "null"),
    ("watch_until_ms", sa.BigInteger(), "0"),
)


def upgrade() -> None:
    """Add the columns; what was revoked and not cut stays to be cut."""
    for table, columns in (("api_keys", _KEY_COLUMNS), ("releases", _RELEASE_COLUMNS)):
        for name, kind, default in columns:
            op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    for name in ("api_keys_revoked", "api_keys_project"):
        op.drop_index(name, "api_keys")
    op.create_index("api_keys_revoked", "api_keys", ["revoked_ms"], unique=False)
    op.create_index("api_keys_project", "api_keys", ["organization", "project", "id"], unique=False)
    op.create_index(
        "api_keys_to_cut",
        "api_keys",
        ["id"],
        unique=False,
        sqlite_where=sa.text("to_cut = 1"),
        postgresql_where=sa.text("to_cut"),
    )
    op.create_index("releases_watched", "releases", ["watch_until_ms"], unique=False)
    keys = sa.table(
        "api_keys", sa.column("to_cut", sa.Boolean()), sa.column("revoked_ms"), sa.column("cut_ms")
    )
    op.execute(keys.update().where(keys.c.revoked_ms > 0, keys.c.cut_ms == 0).values(to_cut=True))


def downgrade() -> None:
    """Take the columns back; a second secret is gone with its column."""
    op.drop_index("releases_watched", "releases")
    for name in ("api_keys_to_cut", "api_keys_project", "api_keys_revoked"):
        op.drop_index(name, "api_keys")
    op.create_index("api_keys_revoked", "api_keys", ["revoked_ms", "cut_ms"], unique=False)
    op.create_index("api_keys_project", "api_keys", ["organization", "project"], unique=False)
    for table, columns in (("releases", _RELEASE_COLUMNS), ("api_keys", _KEY_COLUMNS)):
        for name, _, _ in reversed(columns):
            op.drop_column(table, name)
