"""Departments, members that are disabled, tokens with a part of the rights, and the system's owners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and columns, rename a role, and bind the first owner to the system."""
    op.create_table(
        "departments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization", "name", name="departments_name"),
    )
    op.create_table(
        "disabled_members",
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("organization", "user"),
    )
    op.add_column("organizations", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    for column in (
        sa.Column("used_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("address", sa.String(), nullable=False, server_default=""),
        sa.Column("restriction", sa.Text(), nullable=False, server_default="null"),
    ):
        op.add_column("credentials", column)
    op.create_index("credentials_kind", "credentials", ["kind", "organization"], unique=False)
    op.create_index("login_failures_last", "login_failures", ["last_ms"], unique=False)
    _rename_role("administrator", "admin")
    # Whoever used the owner link runs this installation, so they hold the system too.
    op.execute(
        'INSERT INTO bindings (organization, "user", role, scope) '
        "SELECT '', id, 'owner', '/' FROM users WHERE verified_by = 'owner-link'"
    )


def downgrade() -> None:
    """Take all of it back; roles that were not there before are dropped."""
    op.execute("DELETE FROM bindings WHERE organization = '' OR role IN ('billing', 'guest')")
    _rename_role("admin", "administrator")
    op.drop_index("login_failures_last", "login_failures")
    op.drop_index("credentials_kind", "credentials")
    for column in ("restriction", "address", "used_ms"):
        op.drop_column("credentials", column)
    op.drop_column("organizations", "revision")
    op.drop_table("disabled_members")
    op.drop_table("departments")


def _rename_role(before: str, after: str) -> None:
    bindings = sa.table("bindings", *(sa.column(name) for name in ("organization", "user", "scope", "role")))
    other = bindings.alias("other")
    same = (other.c[name] == bindings.c[name] for name in ("organization", "user", "scope"))
    # Whoever holds both already keeps one.
    twice = sa.exists().where(*same, other.c.role == after)
    op.execute(bindings.delete().where(bindings.c.role == before, twice))
    op.execute(bindings.update().where(bindings.c.role == before).values(role=after))
