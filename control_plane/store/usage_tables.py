"""The tables of the usage database: what the meter writes and everybody else only reads.

Typed columns only, as every call adds a row. Times are Unix milliseconds, UTC.
Statements live in the modules that need them, never here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, text

__all__ = [
    "DAILY_KEY",
    "HOURLY_KEY",
    "HOURLY_SUMS",
    "USAGE_SCHEMA",
    "host_exits",
    "host_starts",
    "log_hours",
    "log_offsets",
    "log_rejects",
    "metadata",
    "usage_daily",
    "usage_ends",
    "usage_events",
    "usage_hourly",
    "usage_kept",
]

USAGE_SCHEMA: Final = "usage"

metadata = MetaData()

# SQLite numbers rows by itself only for a column that it calls INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

usage_events = Table(
    "usage_events",
    metadata,
    # Grows in the order of commits; the one writer makes it a cursor without gaps in time.
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("organization", String, nullable=False),
    Column("project", String, nullable=False),
    Column("function", String, nullable=False),
    Column("version", String, nullable=False),
    Column("api_key", String, nullable=False),
    Column("target", String, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    Column("method", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("termination", String, nullable=False),
    Column("refusal", String, nullable=False),
    Column("queue_ms", BigInteger, nullable=False),
    Column("connect_ms", BigInteger, nullable=False),
    Column("response_ms", BigInteger, nullable=False),
    Column("active_ms", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("streaming", Boolean, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    # The trace's id; empty for calls counted before it was recorded.
    Column("trace", String, nullable=False, server_default=text("''")),
    Column("stream", String, nullable=False),
    Column("ready_ms", BigInteger, nullable=False),
    Column("exit_reason", String, nullable=False),
    Column("dispatched_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("broken", Boolean, nullable=False),
    Column("outcome", String, nullable=False),
    Column("cold_ms", BigInteger, nullable=False),
    Column("billed_ms", BigInteger, nullable=False),
    Index("usage_events_id", "id", unique=True),
    # Lists a function's calls, and finds those that waited for a start which was reported late.
    Index("usage_events_function", "function", "dispatched_ms"),
    # Lists a project's calls over all its functions, in the same order.
    Index("usage_events_project", "project", "dispatched_ms"),
    # Few rows: what did not go well, which is what people look for.
    Index(
        "usage_events_trouble",
        "project",
        "dispatched_ms",
        sqlite_where=text("outcome <> 'answered'"),
        postgresql_where=text("outcome <> 'answered'"),
    ),
    # Only streams.
    Index(
        "usage_events_streaming",
        "project",
        "dispatched_ms",
        sqlite_where=text("streaming"),
        postgresql_where=text("streaming"),
    ),
    # Only request ids that callers chose; the others are the usage id.
    Index(
        "usage_events_request",
        "request_id",
        sqlite_where=text("request_id <> ''"),
        postgresql_where=text("request_id <> ''"),
    ),
    # Few rows: the calls that an exit record may still explain, and the streams that still run.
    Index(
        "usage_events_broken",
        "target",
        "ended_ms",
        sqlite_where=text("broken"),
        postgresql_where=text("broken"),
    ),
    Index(
        "usage_events_open",
        "accepted_ms",
        sqlite_where=text("stream = 'open'"),
        postgresql_where=text("stream = 'open'"),
    ),
)

# End records whose access record has not been read yet.
usage_ends = Table(
    "usage_ends",
    metadata,
    Column("id", String, primary_key=True),
    Column("started_ms", BigInteger, nullable=False),
    Column("active_ms", BigInteger, nullable=False),
    Column("queue_ms", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("termination", String, nullable=False),
    Column("status", Integer, nullable=False),
)

HOURLY_KEY: Final = ("hour_ms", "organization", "project", "function", "version", "api_key", "outcome")
HOURLY_SUMS: Final = (
    "calls",
    "billed_calls",
    "cold_calls",
    "billed_ms",
    "memory_mb_ms",
    "bytes_in",
    "bytes_out",
)

# Sums of usage_events, kept in the same transaction; `UsageLedger.rebuild` makes them anew.
usage_hourly = Table(
    "usage_hourly",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, String, primary_key=True) for name in HOURLY_KEY[1:]),
    *(Column(name, BigInteger, nullable=False) for name in HOURLY_SUMS),
    # Holds all that a project's sums are made of: to look up each row for them would take ten times as long.
    # PostgreSQL's row rules ask for the organization too.
    Index(
        "usage_hourly_project",
        "project",
        "hour_ms",
        *HOURLY_KEY[3:],
        *HOURLY_SUMS,
        postgresql_include=["organization"],
    ),
    Index("usage_hourly_version", "version"),
    # Finds when a key last called; a row comes once an hour, so it costs the meter nothing.
    Index("usage_hourly_key", "api_key", "hour_ms"),
)

DAILY_KEY: Final = ("day_ms", *HOURLY_KEY[1:])

# The same by day, so that a month is read as thirty times what a day is, not as seven hundred.
usage_daily = Table(
    "usage_daily",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, String, primary_key=True) for name in DAILY_KEY[1:]),
    *(Column(name, BigInteger, nullable=False) for name in HOURLY_SUMS),
    Index(
        "usage_daily_project",
        "project",
        "day_ms",
        *DAILY_KEY[3:],
        *HOURLY_SUMS,
        postgresql_include=["organization"],
    ),
)

host_starts = Table(
    "host_starts",
    metadata,
    Column("instance", String, primary_key=True),
    Column("target", String, nullable=False),
    Column("version", String, nullable=False),
    Column("activated_ms", BigInteger, nullable=False),
    Column("ready_ms", BigInteger, nullable=False),
    Column("level", Integer, nullable=False),
    Index("host_starts_ready", "ready_ms"),
)

host_exits = Table(
    "host_exits",
    metadata,
    Column("instance", String, primary_key=True),
    Column("target", String, nullable=False),
    Column("version", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("peak_mb", Integer, nullable=False),
    Column("served", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("host_exits_target", "target", "at_ms"),
    Index("host_exits_at", "at_ms"),
)

# One row: before this hour, events may be gone while their sums stay.
usage_kept = Table(
    "usage_kept",
    metadata,
    Column("what", String, primary_key=True),
    Column("from_ms", BigInteger, nullable=False),
)

# How far each log is counted. `tail_digest` is of what stands just before `position`, so
# that a replaced file cannot pass for this one.
log_offsets = Table(
    "log_offsets",
    metadata,
    Column("source", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("tail_digest", LargeBinary, nullable=False),
)

# What the access log itself held, by hour of acceptance: the gateway's side of a reconciliation.
log_hours = Table(
    "log_hours",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("records", BigInteger, nullable=False),
    Column("repeated", BigInteger, nullable=False),
)

log_rejects = Table(
    "log_rejects",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("source", String, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    # The line's beginning only: enough to see what it was, too little to fill the disk.
    Column("sample", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Index("log_rejects_place", "source", "position", "seen_ms", unique=True),
)
