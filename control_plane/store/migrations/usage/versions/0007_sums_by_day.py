"""The sums by day, made from those by hour.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = ("organization", "project", "function", "version", "api_key", "outcome")
_SUMS = ("calls", "billed_calls", "cold_calls", "billed_ms", "memory_mb_ms", "bytes_in", "bytes_out")
_DAY_MS = 86_400_000


def upgrade() -> None:
    op.create_table(
        "usage_daily",
        sa.Column("day_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in _KEY),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint("day_ms", *_KEY),
    )
    op.create_index("usage_daily_project", "usage_daily", ["project", "day_ms", *_KEY[2:], *_SUMS])
    day = f"hour_ms - hour_ms % {_DAY_MS}"
    sums = ", ".join(f"sum({name})" for name in _SUMS)
    # Only names and numbers of this module are put together here.
    op.execute(
        f"INSERT INTO usage_daily (day_ms, {', '.join(_KEY)}, {', '.join(_SUMS)}) "  # noqa: S608
        f"SELECT {day}, {', '.join(_KEY)}, {sums} FROM usage_hourly GROUP BY {day}, {', '.join(_KEY)}"
    )


def downgrade() -> None:
    op.drop_table("usage_daily")
