"""The tables of usage.

Revision: 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "host_exits",
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("peak_mb", sa.Integer(), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance"),
    )
    with op.batch_alter_table("host_exits", schema=None) as batch_op:
        batch_op.create_index("host_exits_at", ["at_ms"], unique=False)
        batch_op.create_index("host_exits_target", ["target", "at_ms"], unique=False)

    op.create_table(
        "host_starts",
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("activated_ms", sa.BigInteger(), nullable=False),
        sa.Column("ready_ms", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("instance"),
    )
    with op.batch_alter_table("host_starts", schema=None) as batch_op:
        batch_op.create_index("host_starts_ready", ["ready_ms"], unique=False)

    op.create_table(
        "log_hours",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("repeated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_ms"),
    )
    op.create_table(
        "log_offsets",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("tail_digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_table(
        "log_rejects",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("sample", sa.LargeBinary(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("log_rejects", schema=None) as batch_op:
        batch_op.create_index("log_rejects_place", ["source", "position", "seen_ms"], unique=True)

    op.create_table(
        "usage_ends",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("active_ms", sa.BigInteger(), nullable=False),
        sa.Column("queue_ms", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("termination", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "usage_events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("api_key", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("termination", sa.String(), nullable=False),
        sa.Column("refusal", sa.String(), nullable=False),
        sa.Column("queue_ms", sa.BigInteger(), nullable=False),
        sa.Column("connect_ms", sa.BigInteger(), nullable=False),
        sa.Column("response_ms", sa.BigInteger(), nullable=False),
        sa.Column("active_ms", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("streaming", sa.Boolean(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("ready_ms", sa.BigInteger(), nullable=False),
        sa.Column("exit_reason", sa.String(), nullable=False),
        sa.Column("dispatched_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("broken", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("cold_ms", sa.BigInteger(), nullable=False),
        sa.Column("billed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("usage_events", schema=None) as batch_op:
        batch_op.create_index(
            "usage_events_broken",
            ["target", "ended_ms"],
            unique=False,
            sqlite_where=sa.text("broken"),
            postgresql_where=sa.text("broken"),
        )
        batch_op.create_index("usage_events_function", ["function", "dispatched_ms"], unique=False)
        batch_op.create_index("usage_events_id", ["id"], unique=True)
        batch_op.create_index(
            "usage_events_open",
            ["accepted_ms"],
            unique=False,
            sqlite_where=sa.text("stream = 'open'"),
            postgresql_where=sa.text("stream = 'open'"),
        )

    op.create_table(
        "usage_hourly",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("api_key", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("billed_calls", sa.BigInteger(), nullable=False),
        sa.Column("cold_calls", sa.BigInteger(), nullable=False),
        sa.Column("billed_ms", sa.BigInteger(), nullable=False),
        sa.Column("memory_mb_ms", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour_ms", "organization", "project", "function", "version", "api_key", "outcome"
        ),
    )
    with op.batch_alter_table("usage_hourly", schema=None) as batch_op:
        batch_op.create_index("usage_hourly_project", ["project", "hour_ms"], unique=False)
        batch_op.create_index("usage_hourly_version", ["version"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("usage_hourly", schema=None) as batch_op:
        batch_op.drop_index("usage_hourly_version")
        batch_op.drop_index("usage_hourly_project")

    op.drop_table("usage_hourly")
    with op.batch_alter_table("usage_events", schema=None) as batch_op:
        batch_op.drop_index(
            "usage_events_open",
            sqlite_where=sa.text("stream = 'open'"),
            postgresql_where=sa.text("stream = 'open'"),
        )
        batch_op.drop_index("usage_events_id")
        batch_op.drop_index("usage_events_function")
        batch_op.drop_index(
            "usage_events_broken", sqlite_where=sa.text("broken"), postgresql_where=sa.text("broken")
        )

    op.drop_table("usage_events")
    op.drop_table("usage_ends")
    with op.batch_alter_table("log_rejects", schema=None) as batch_op:
        batch_op.drop_index("log_rejects_place")

    op.drop_table("log_rejects")
    op.drop_table("log_offsets")
    op.drop_table("log_hours")
    with op.batch_alter_table("host_starts", schema=None) as batch_op:
        batch_op.drop_index("host_starts_ready")

    op.drop_table("host_starts")
    with op.batch_alter_table("host_exits", schema=None) as batch_op:
        batch_op.drop_index("host_exits_target")
        batch_op.drop_index("host_exits_at")

    op.drop_table("host_exits")
