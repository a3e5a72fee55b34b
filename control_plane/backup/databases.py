"""Snapshots of the SQLite files while they are written, and what goes with the usage database.

The meter's position in a log is only worth something together with the log
around it, so both are taken at one moment.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from control_plane.errors import Conflict

__all__ = ["LOGS", "LogPart", "check_database", "revision_of", "snapshot", "snapshot_usage"]

# What the meter calls a log -> where it lies below the data folder.
LOGS = {"access": "gateway/access.log", "host": "host/records.log"}
# The meter proves by the last 4096 counted bytes that a log is the one it counted.
_PROOF = 4096
# Between the look at the position and the reading of the log lie microseconds; more tries never help.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class LogPart:
    """A log from `start` on; everything before `counted` is in the database."""

    start: int
    counted: int
    content: bytes


def snapshot(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment; writers go on meanwhile."""
    with _opened(source) as connection:
        _copy(connection, target)


def snapshot_usage(source: Path, target: Path, data: Path) -> dict[str, LogPart]:
    """Copy the usage database with the logs' parts that it has not counted, of the same moment."""
    with _opened(source) as connection:
        for _ in range(_TRIES):
            connection.execute("BEGIN")
            marks = _marks(connection)
            parts = {name: _log_part(data / path, *marks.get(name, (0, b""))) for name, path in LOGS.items()}
            if all(part is not None for part in parts.values()):
                # The same transaction, so the same moment however long the copy takes.
                _copy(connection, target)
                return {LOGS[name]: part for name, part in parts.items() if part is not None}
            connection.execute("ROLLBACK")
    raise Conflict(
        "A log is not the one that the meter counted.",
        hint="`ingot status` and logs/meter.log say why nothing is counted; repair that first.",
    )


def revision_of(database: Path) -> str:
    """Return the revision of a database's migrations; empty when it has none."""
    with _opened(database) as connection, contextlib.suppress(sqlite3.OperationalError):
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else ""
    return ""


def check_database(database: Path) -> tuple[str, ...]:
    """Return what SQLite itself finds wrong with a file."""
    try:
        with _opened(database) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    return tuple(line for line in found if line != "ok")


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    # Never made when it is missing: an empty database would pass for a good one.
    uri = f"file:{quote(str(database.absolute()))}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)) as connection:
        yield connection


def _copy(source: sqlite3.Connection, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
        # It becomes durable with the archive; a copy that was cut off is thrown away.
        copy.execute("PRAGMA synchronous=OFF")
        # In one step: a copy in several begins anew whenever somebody writes in between.
        source.backup(copy, pages=-1)
        # One file holds everything only without a write-ahead log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")


def _marks(connection: sqlite3.Connection) -> dict[str, tuple[int, bytes]]:
    rows = connection.execute("SELECT source, position, tail_digest FROM log_offsets").fetchall()
    return {source: (position, digest) for source, position, digest in rows}


def _log_part(path: Path, counted: int, digest: bytes) -> LogPart | None:
    """Return the log's uncounted part with the proof before it; None when it is not the counted log."""
    start = max(counted - _PROOF, 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None if counted else LogPart(0, 0, b"")
    with os.fdopen(descriptor, "rb") as log:
        log.seek(start)
        content = log.read()
    # Half a line is still being written; whoever waits for its answer is not counted yet.
    content = content[: max(content.rfind(b"\n") + 1, counted - start)]
    proof = content[: counted - start]
    if counted and sha256(proof).digest() != digest:
        return None
    return LogPart(start, counted, content)
