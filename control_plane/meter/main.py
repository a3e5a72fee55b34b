"""The meter's process: the only writer of the usage database, and the keeper of the gateway's lease."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from control_plane.adapters.gateway.lease import renew_lease
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.meter.cycle import Cycle, Turn
from control_plane.meter.follower import LogChanged, LogFollower
from control_plane.meter.lease import Health, LeaseKeeper, LeaseLimits
from control_plane.ports import Clock
from control_plane.settings import Settings, settings_from_document
from control_plane.store.engine import create_engine
from control_plane.store.usage_intake import ACCESS_LOG, HOST_RECORDS
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import USAGE_SCHEMA

__all__ = ["run"]

# New lines are looked for this often. See docs/adr/0060-poll-the-access-log.md.
_POLL_S: Final = 0.1
_RETRY_S: Final = 1.0
# A stream without an end record is closed after this; no gateway keeps one open for longer.
_LONGEST_STREAM_MS: Final = 24 * 3_600_000
_HOUSEKEEPING_S: Final = 60.0
# How long a stop goes on counting what the others left behind.
_LAST_PASS_S: Final = 20.0


class _SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def run(document: Mapping[str, Any]) -> None:
    """Count until SIGTERM; then count what is there and return."""
    settings = settings_from_document(json.dumps(document))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = create_engine(settings.usage_url, schema=USAGE_SCHEMA, cache_mb=64)
    migrate_usage(engine)
    ledger = UsageLedger(engine)
    clock: Clock = _SystemClock()
    access = LogFollower(ACCESS_LOG, settings.data / "gateway" / "access.log", None)
    host = LogFollower(HOST_RECORDS, settings.data / "host" / "records.log", None)
    lease = _lease_keeper(settings, clock)
    meter = _Loop(Cycle(ledger, access, host, clock), ledger, lease, clock, settings)
    try:
        # The gateway starts when this role is ready, and must find a lease then.
        meter.begin()
        lease.start()
        _say_ready()
        meter.until(stop)
    finally:
        lease.stop()
        access.close()
        host.close()
        engine.dispose()


class _Loop:
    def __init__(
        self, cycle: Cycle, ledger: UsageLedger, lease: LeaseKeeper, clock: Clock, settings: Settings
    ) -> None:
        self._cycle = cycle
        self._ledger = ledger
        self._lease = lease
        self._clock = clock
        self._folders = _watched_folders(settings)
        self._failure = "nothing was read yet"
        self._tidied_at = -_HOUSEKEEPING_S

    def begin(self) -> None:
        """Take the first turn and grant the first lease."""
        self._turn()
        self._observe()
        self._lease.consider()

    def until(self, stop: threading.Event) -> None:
        """Turn until told to stop, then until nothing is left or the time for it is over."""
        last = 0.0
        while True:
            turn = self._turn()
            self._observe()
            if stop.is_set():
                last = last or time.monotonic() + _LAST_PASS_S
                if not turn.lines or time.monotonic() > last:
                    return
            if not turn.lines:
                self._tidy()
                stop.wait(_RETRY_S if self._failure else _POLL_S)

    def _turn(self) -> Turn:
        try:
            if self._failure:
                self._cycle.reload()
            turn = self._cycle.turn()
        except (OSError, DBAPIError, LogChanged) as error:
            reason = str(error).splitlines()[0]
            if reason != self._failure:
                _log("error", "usage is not counted", reason=reason, hint=getattr(error, "hint", None))
            self._failure = reason
            return Turn()
        if turn.rejects:
            _log("warning", "parts of a log are no records; see log_rejects", count=turn.rejects)
        self._failure = ""
        return turn

    def _observe(self) -> None:
        try:
            free = min(shutil.disk_usage(folder).free for folder in self._folders)
            behind = self._cycle.lines_behind()
        except OSError as error:
            self._failure = self._failure or str(error)
            free = behind = 0
        self._lease.observe(Health(self._clock.now_ms(), behind, self._failure, free))

    def _tidy(self) -> None:
        now = time.monotonic()
        if self._failure or now - self._tidied_at < _HOUSEKEEPING_S:
            return
        self._tidied_at = now
        closed = self._ledger.close_lost_streams(self._clock.now_ms() - _LONGEST_STREAM_MS)
        if closed:
            _log("warning", "streams without an end record were closed", count=closed)


def _lease_keeper(settings: Settings, clock: Clock) -> LeaseKeeper:
    gateway = GatewaySettings(run_folder=settings.run, data_folder=settings.data / "gateway")
    limits = LeaseLimits(
        settings.metering.lease_s, settings.metering.max_lag_lines, settings.metering.min_free_mb * 2**20
    )

    def report(message: str, reasons: list[str]) -> None:
        _log("error" if reasons else "info", message, reasons=reasons)

    return LeaseKeeper(lambda until: renew_lease(gateway, until), limits, clock, report)


def _watched_folders(settings: Settings) -> list[Path]:
    """Return the folders whose disks must have room: the log's, and the database's when it is a file."""
    folders = [settings.data / "gateway"]
    if settings.usage_url.startswith("sqlite"):
        folders.append(settings.data / "db")
    return folders


def _say_ready() -> None:
    descriptor = os.environ.get("INGOT_READY_FD", "")
    if descriptor:
        os.write(int(descriptor), b"READY=1\n")


def _log(level: str, message: str, **fields: Any) -> None:
    line = {"ts": time.time_ns() // 1_000_000, "level": level, "role": "meter", "message": message, **fields}
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()
