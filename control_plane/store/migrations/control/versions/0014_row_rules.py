"""Row rules on PostgreSQL: a transaction sees the rows of the organizations that it was opened for.

Revision: 0014, after 0013.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = (
    "api_keys",
    "audit_entries",
    "departments",
    "draft_edits",
    "drafts",
    "files",
    "functions",
    "idempotency_keys",
    "installations",
    "named_values",
    "outbox",
    "previews",
    "projects",
    "releases",
    "reviews",
    "test_runs",
    "version_packages",
    "versions",
)
# Each in a sub-select, so that it is computed once for a statement and not for each row.
_OPEN = "current_setting('ingot.organizations', true)"
_ALL = f"(SELECT {_OPEN} = '*')"
_NAMED = f"organization = ANY ((SELECT string_to_array({_OPEN}, ','))::text[])"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"CREATE POLICY tenants ON {table} USING ({_NAMED} OR {_ALL})")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # The owner too: where one role does everything, it is the one to be held back.
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY tenants ON {table}")
