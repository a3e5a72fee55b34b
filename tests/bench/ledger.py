"""Four accounts of the same calls, each kept by somebody else, and what they must agree on.

The callers know what was answered, the gateway's log and the usage database what
was counted, and the functions' own log lines what was dispatched.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.callers import Call
from tests.bench.report import Check

__all__ = ["AccessLogReader", "Accounts", "checks", "read_accounts"]

_LOOK_S = 0.005
# No line of the log is shorter, in bytes.
_SHORTEST_LINE = 300


class AccessLogReader:
    """Reads the access log while it is written: the meter gives up what it has counted.

    What it gave up before it was read here reads as zeros.
    """

    def __init__(self, path: Path) -> None:
        """`calls` are usage ids in the order of their lines, `ends` those of streams' ends."""
        self.calls: list[str] = []
        self.ends: list[str] = []
        self.damaged: list[bytes] = []
        # Bytes that came too late.
        self.unseen = 0
        self._path, self._position, self._rest = path, 0, b""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> AccessLogReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)
        self._read()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._read()

    def _read(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._position)
            data = log.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if b"\0" in line:
                self.unseen += len(line)
                continue
            try:
                record = json.loads(line)
            except ValueError:
                self.damaged.append(line)
                continue
            if "end" in record:
                self.ends.append(record["end"])
            else:
                self.calls.append(record["id"])


@dataclass(slots=True)
class Accounts:
    """What each side says after everything has come to rest; all are usage ids."""

    # By the callers: whole answers, whole good answers, and how many calls broke off.
    answered: set[str] = field(default_factory=set)
    answered_well: set[str] = field(default_factory=set)
    broken: int = 0
    # By the gateway's log.
    logged: list[str] = field(default_factory=list)
    # How many lines of it may have been given up before they were read.
    unseen: int = 0
    # By the usage database: id -> status, and the reasons of refusals.
    counted: dict[str, int] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    rejects: int = 0
    # By the functions.
    dispatched: set[str] = field(default_factory=set)
    lost_lines: int = 0

    @property
    def counted_well(self) -> set[str]:
        """Return the calls that count as answered by an instance."""
        return {one for one, status in self.counted.items() if 200 <= status < 300}


def read_accounts(data: Path, calls: Sequence[Call], log: AccessLogReader) -> Accounts:
    """Gather the accounts of one Ingot."""
    accounts = Accounts(
        answered={call.usage_id for call in calls if call.usage_id},
        answered_well={call.usage_id for call in calls if call.good},
        broken=sum(1 for call in calls if not call.status and call.connected),
        logged=log.calls,
        unseen=log.unseen // _SHORTEST_LINE,
    )
    connection = sqlite3.connect(f"file:{data / 'db' / 'usage.db'}?mode=ro", uri=True)
    try:
        for one, status, refusal in connection.execute("SELECT id, status, refusal FROM usage_events"):
            accounts.counted[one] = status
            accounts.refusals[refusal] += bool(refusal)
        (accounts.rejects,) = connection.execute("SELECT count(*) FROM log_rejects").fetchone()
    finally:
        connection.close()
    for file in (data / "host" / "logs").glob("*/*.jsonl"):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            accounts.dispatched.add(record["request_id"])
            accounts.lost_lines += record["message"].endswith("log records were lost")
    return accounts


def checks(accounts: Accounts) -> list[Check]:
    """Return what the accounts must agree on."""
    excess = len(accounts.counted_well - accounts.answered_well)
    return [
        Check.at_most(
            "answered calls that were not counted", len(accounts.answered - set(accounts.counted)), 0
        ),
        Check.at_most(
            "counted answers that were not dispatched", len(accounts.counted_well - accounts.dispatched), 0
        ),
        # Whoever saw a call break off may find it counted, nobody else.
        Check.at_most("counted answers that nobody read", excess, accounts.broken),
        Check.is_true("usage equals the access log's lines", _equal(accounts)),
        Check.at_most("pieces of the log that are no record", accounts.rejects, 0),
        Check.at_most("log lines that functions lost", accounts.lost_lines, 0),
    ]


def _equal(accounts: Accounts) -> bool:
    """Say whether each line is one row; rows without a line only for what was not seen."""
    lines = set(accounts.logged)
    return (
        len(lines) == len(accounts.logged)
        and lines <= set(accounts.counted)
        and len(accounts.counted) - len(lines) <= accounts.unseen
    )
