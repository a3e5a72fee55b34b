"""The tables of the monitor, in the usage database: sums by minute and hour, sums since ever, and samples.

Written by the meter like all of usage; times are Unix milliseconds, UTC.
Statements live in the modules that need them, never here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table

from control_plane.domain.series import API_BUCKETS, SUMS
from control_plane.store.usage_tables import metadata

__all__ = [
    "READINGS",
    "SERIES_KEY",
    "monitor_instances",
    "monitor_system",
    "usage_hours",
    "usage_minutes",
    "usage_totals",
]

SERIES_KEY: Final = ("organization", "project", "function", "version")

# Sums of usage_events, kept in the same transaction and for some days only;
# `SeriesLedger.rebuild` makes them anew.
usage_minutes = Table(
    "usage_minutes",
    metadata,
    *(Column(name, String, primary_key=True) for name in SERIES_KEY),
    Column("minute_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False) for name in SUMS),
    # Finds the busiest functions and sums their waiting without looking up a row.
    Index(
        "usage_minutes_project",
        "project",
        "minute_ms",
        "function",
        "calls",
        "queue_ms",
        postgresql_include=["organization"],
    ),
    Index("usage_minutes_minute", "minute_ms"),
)

# The same sums by hour, kept as long: a week of minutes would be read for a few points otherwise.
usage_hours = Table(
    "usage_hours",
    metadata,
    *(Column(name, String, primary_key=True) for name in SERIES_KEY),
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False) for name in SUMS),
    Index(
        "usage_hours_project",
        "project",
        "hour_ms",
        "function",
        "calls",
        "queue_ms",
        postgresql_include=["organization"],
    ),
    Index("usage_hours_hour", "hour_ms"),
)

# The same sums over all time: what a scraper takes the difference of. One row for each version.
usage_totals = Table(
    "usage_totals",
    metadata,
    *(Column(name, String, primary_key=True) for name in SERIES_KEY),
    # The newest minute with a call; versions that are not called any more are not shown.
    Column("last_ms", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in SUMS),
    Index("usage_totals_last", "organization", "last_ms"),
)

# What a sample of the machine holds; empty where it could not be read.
READINGS: Final = (
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
    *API_BUCKETS,
)

monitor_system = Table(
    "monitor_system",
    metadata,
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, Float, nullable=True) for name in READINGS),
)

# The most instances of a version that a sample of the minute saw.
monitor_instances = Table(
    "monitor_instances",
    metadata,
    *(Column(name, String, primary_key=True) for name in SERIES_KEY),
    Column("minute_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("instances", Integer, nullable=False),
    Index("monitor_instances_project", "project", "minute_ms"),
    Index("monitor_instances_minute", "minute_ms"),
)
