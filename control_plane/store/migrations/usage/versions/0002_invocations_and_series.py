"""Indexes that lists of calls need, each call's trace, and the tables of the monitor.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = ("organization", "project", "function", "version")
_SUMS = (
    "calls",
    "caller_faults",
    "author_faults",
    "platform_faults",
    "cold_calls",
    "queue_ms",
    "duration_ms",
    *(f"bucket_{number}" for number in range(15)),
)
_READINGS = (
    "cpu_percent",
    "load",
    "memory_used_mb",
    "memory_total_mb",
    "disk_used_mb",
    "disk_total_mb",
    "connections",
    "queued",
    "instances",
    "lag_lines",
    "lease_s",
    "api_requests",
    "api_refused",
    "api_failed",
    "api_ms",
)


def _key() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in _KEY]


def _sums() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS]


def upgrade() -> None:
    op.add_column("usage_events", sa.Column("trace", sa.String(), nullable=False, server_default=""))
    op.create_index("usage_events_project", "usage_events", ["project", "dispatched_ms"])
    for name, columns, condition in (
        ("usage_events_trouble", ["project", "dispatched_ms"], "outcome <> 'answered'"),
        ("usage_events_streaming", ["project", "dispatched_ms"], "streaming"),
        ("usage_events_request", ["request_id"], "request_id <> ''"),
    ):
        op.create_index(
            name,
            "usage_events",
            columns,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.create_table(
        "usage_minutes",
        *_key(),
        sa.Column("minute_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint(*_KEY, "minute_ms"),
    )
    op.create_index("usage_minutes_project", "usage_minutes", ["project", "minute_ms"])
    op.create_index("usage_minutes_minute", "usage_minutes", ["minute_ms"])
    op.create_table(
        "usage_totals",
        *_key(),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint(*_KEY),
    )
    op.create_index("usage_totals_last", "usage_totals", ["organization", "last_ms"])
    op.create_table(
        "monitor_system",
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in _READINGS),
        sa.PrimaryKeyConstraint("at_ms"),
    )
    op.create_table(
        "monitor_instances",
        *_key(),
        sa.Column("minute_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, "minute_ms"),
    )
    op.create_index("monitor_instances_project", "monitor_instances", ["project", "minute_ms"])
    op.create_index("monitor_instances_minute", "monitor_instances", ["minute_ms"])


def downgrade() -> None:
    for table in ("monitor_instances", "monitor_system", "usage_totals", "usage_minutes"):
        op.drop_table(table)
    for name in ("request", "streaming", "trouble", "project"):
        op.drop_index(f"usage_events_{name}", "usage_events")
    with op.batch_alter_table("usage_events") as batch_op:
        batch_op.drop_column("trace")
