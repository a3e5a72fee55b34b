"""What is taken out of this Ingot, and where versions came from that arrived from another.

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = ("exports", "origins")
# As in 0014: each in a sub-select, so that it is computed once for a statement.
_OPEN = "current_setting('ingot.organizations', true)"
_ALL = f"(SELECT {_OPEN} = '*')"
_NAMED = f"organization = ANY ((SELECT string_to_array({_OPEN}, ','))::text[])"


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _long(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.String(), primary_key=True, nullable=False),
        *_texts("organization", "project", "function", "kind"),
        *_long("numbers"),
        *_texts("created_by"),
        *_numbers("created_ms"),
        *_texts("namespace", "name", "state", "reason"),
        *_long("message", "resource", "evidence"),
        *_texts("signer"),
        *_numbers("done_ms"),
    )
    op.create_index("exports_state", "exports", ["state", "id"])
    op.create_index("exports_function", "exports", ["organization", "function", "id"])
    op.create_table(
        "origins",
        sa.Column("version", sa.String(), primary_key=True, nullable=False),
        *_texts("organization", "function", "digest"),
        *_texts("source_organization", "source_organization_name", "source_function", "source_name"),
        *_numbers("source_number"),
        *_texts("signer", "trusted_as"),
        *_long("approvals", "evidence"),
        *_texts("imported_by"),
        *_numbers("imported_ms"),
    )
    op.create_index("origins_function", "origins", ["organization", "function"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"CREATE POLICY tenants ON {table} USING ({_NAMED} OR {_ALL})")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
