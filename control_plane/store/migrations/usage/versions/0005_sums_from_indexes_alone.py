"""Indexes that hold all that a project's sums are made of, so that no row is looked up one by one.

Revision: 0005, after 0004.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HOURLY = (
    "project",
    "hour_ms",
    "function",
    "version",
    "api_key",
    "outcome",
    "calls",
    "billed_calls",
    "cold_calls",
    "billed_ms",
    "memory_mb_ms",
    "bytes_in",
    "bytes_out",
)
_MINUTES = ("project", "minute_ms", "function", "calls", "queue_ms")


def upgrade() -> None:
    _replace(_HOURLY, _MINUTES)


def downgrade() -> None:
    _replace(_HOURLY[:2], _MINUTES[:2])


def _replace(hourly: tuple[str, ...], minutes: tuple[str, ...]) -> None:
    for name, table, columns in (
        ("usage_hourly_project", "usage_hourly", hourly),
        ("usage_minutes_project", "usage_minutes", minutes),
    ):
        op.drop_index(name, table_name=table)
        op.create_index(name, table, list(columns))
