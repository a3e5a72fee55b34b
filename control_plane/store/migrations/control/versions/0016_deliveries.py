"""Deliveries: events that one of the platform's consumers has not worked on yet.

Revision: 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OPEN = "current_setting('ingot.organizations', true)"
_ALL = f"(SELECT {_OPEN} = '*')"
_NAMED = f"organization = ANY ((SELECT string_to_array({_OPEN}, ','))::text[])"


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("event", sa.String(), primary_key=True),
        sa.Column("consumer", sa.String(), primary_key=True),
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    op.create_index("deliveries_due", "deliveries", ["due_ms"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE POLICY tenants ON deliveries USING ({_NAMED} OR {_ALL})")
        op.execute("ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY")
        # The owner too, as for every other table of tenants.
        op.execute("ALTER TABLE deliveries FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table("deliveries")
