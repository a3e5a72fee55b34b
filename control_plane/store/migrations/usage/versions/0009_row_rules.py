"""Row rules on PostgreSQL: a transaction sees the rows of the organizations that it was opened for.

Revision: 0009, after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = (
    "monitor_instances",
    "usage_daily",
    "usage_events",
    "usage_hourly",
    "usage_hours",
    "usage_minutes",
    "usage_totals",
)
# The rule asks for the organization in each row: a sum that an index alone answered finds it there.
_SUMS = ("calls", "billed_calls", "cold_calls", "billed_ms", "memory_mb_ms", "bytes_in", "bytes_out")
_INDEXES = {
    "usage_hourly": ("project", "hour_ms", "function", "version", "api_key", "outcome", *_SUMS),
    "usage_daily": ("project", "day_ms", "function", "version", "api_key", "outcome", *_SUMS),
    "usage_minutes": ("project", "minute_ms", "function", "calls", "queue_ms"),
    "usage_hours": ("project", "hour_ms", "function", "calls", "queue_ms"),
}
# Each in a sub-select, so that it is computed once for a statement and not for each row; the meter's
# case, which is all of them, comes first.
_OPEN = "current_setting('ingot.organizations', true)"
_ALL = f"(SELECT {_OPEN} = '*')"
_NAMED = f"organization = ANY ((SELECT string_to_array({_OPEN}, ','))::text[])"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"CREATE POLICY tenants ON {table} USING ({_ALL} OR {_NAMED})")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # The owner too: the services' role owns these tables, and it is the one to be held back.
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table, columns in _INDEXES.items():
        op.drop_index(f"{table}_project", table)
        op.create_index(f"{table}_project", table, list(columns), postgresql_include=["organization"])


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in _INDEXES.items():
        op.drop_index(f"{table}_project", table)
        op.create_index(f"{table}_project", table, list(columns))
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY tenants ON {table}")
