"""The monitor's sums by hour, made from those by minute.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
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
_HOUR_MS = 3_600_000


def upgrade() -> None:
    op.create_table(
        "usage_hours",
        *(sa.Column(name, sa.String(), nullable=False) for name in _KEY),
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(*_KEY, "hour_ms"),
    )
    op.create_index(
        "usage_hours_project", "usage_hours", ["project", "hour_ms", "function", "calls", "queue_ms"]
    )
    op.create_index("usage_hours_hour", "usage_hours", ["hour_ms"])
    hour = f"minute_ms - minute_ms % {_HOUR_MS}"
    sums = ", ".join(f"sum({name})" for name in _SUMS)
    # Only names and numbers of this module are put together here.
    op.execute(
        f"INSERT INTO usage_hours ({', '.join(_KEY)}, hour_ms, {', '.join(_SUMS)}) "  # noqa: S608
        f"SELECT {', '.join(_KEY)}, {hour}, {sums} FROM usage_minutes GROUP BY {', '.join(_KEY)}, {hour}"
    )


def downgrade() -> None:
    op.drop_table("usage_hours")
