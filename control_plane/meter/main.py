"""The meter's process: the only writer of the usage database, and the keeper of the gateway's lease."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from control_plane.bootstrap.meter import Meter, build_meter
from control_plane.meter.cycle import Turn
from control_plane.meter.follower import LogChanged
from control_plane.meter.lease import Health
from control_plane.process import log_to_stderr, say_ready, stop_event

__all__ = ["Loop", "run"]

# New lines are looked for this often. See docs/adr/0060-poll-the-access-log.md.
_POLL_S: Final = 0.1
_RETRY_S: Final = 1.0
# A stream without an end record is closed after this; no gateway keeps one open for longer.
_LONGEST_STREAM_MS: Final = 24 * 3_600_000
_HOUSEKEEPING_S: Final = 60.0
# How long a stop goes on counting what the others left behind.
_LAST_PASS_S: Final = 20.0


def run(document: Mapping[str, Any]) -> None:
    """Count until SIGTERM; then count what is there and return."""
    stop = stop_event()
    with build_meter(document, _report) as parts:
        if parts.keeps_house and parts.series.missing():
            # Calls that were counted before there was a monitor.
            parts.series.rebuild(parts.clock.now_ms() - parts.series_ms)
        loop = Loop(parts)
        try:
            # The gateway starts when this role is ready, and must find a lease then.
            loop.begin()
            parts.lease.start()
            if parts.keeps_house:
                parts.sampler.start()
            say_ready()
            loop.until(stop)
        finally:
            parts.sampler.stop()
            parts.lease.stop()


class Loop:
    """Turns the meter over: first counting, then everything that may fail without stopping it."""

    def __init__(self, parts: Meter) -> None:
        self._cycle = parts.cycle
        self._ledger = parts.ledger
        self._lease = parts.lease
        self._sampler, self._series, self._series_ms = parts.sampler, parts.series, parts.series_ms
        self._clock = parts.clock
        self._folders = parts.folders
        self._remove_old = parts.remove_old
        self._keeps_house = parts.keeps_house
        self._failure = "nothing was read yet"
        self._tidied_at = -_HOUSEKEEPING_S
        self._behind = 0
        self._samples_wait = False

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
            self.keep_samples()
            if stop.is_set():
                last = last or time.monotonic() + _LAST_PASS_S
                if not turn.lines or time.monotonic() > last:
                    return
            if not turn.lines:
                self.tidy()
            if self._failure:
                stop.wait(_RETRY_S)
            elif self._cycle.caught_up():
                # A turn costs the same for one line as for hundreds, so let some come together.
                stop.wait(_POLL_S)

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
        self._behind = behind
        self._lease.observe(Health(self._clock.now_ms(), behind, self._failure, free))

    def keep_samples(self) -> None:
        """Store the samples that were taken; the monitor is never a reason to stop counting."""
        taken = self._sampler.taken()
        if not taken:
            return
        own = {"lag_lines": float(self._behind), "lease_s": float(self._lease.left_s())}
        readings = [replace(one, values={**one.values, **own}) for one in taken]
        try:
            self._series.keep(readings)
        except (OSError, SQLAlchemyError) as error:
            self._sampler.give_back(taken)
            if not self._samples_wait:
                _log("warning", "samples are not stored", reason=str(error).splitlines()[0])
            self._samples_wait = True
        else:
            self._samples_wait = False

    def tidy(self) -> None:
        """Once a minute remove what is over; what fails comes again, and is no reason to stop counting."""
        now = time.monotonic()
        if not self._keeps_house or self._failure or now - self._tidied_at < _HOUSEKEEPING_S:
            return
        self._tidied_at = now
        for part in (self._close_lost_streams, self._remove_calls, self._prune_series):
            try:
                part()
            except (OSError, SQLAlchemyError) as error:
                _log("error", "what is over was not removed", reason=str(error).splitlines()[0])

    def _close_lost_streams(self) -> None:
        closed = self._ledger.close_lost_streams(self._clock.now_ms() - _LONGEST_STREAM_MS)
        if closed:
            _log("warning", "streams without an end record were closed", count=closed)

    def _remove_calls(self) -> None:
        removed = self._remove_old(self._clock.now_ms())
        if removed:
            _log("info", "removed calls that were over", count=removed)

    def _prune_series(self) -> None:
        self._series.prune(self._clock.now_ms() - self._series_ms)


def _report(message: str, reasons: list[str]) -> None:
    _log("error" if reasons else "info", message, reasons=reasons)


def _log(level: str, message: str, **fields: Any) -> None:
    log_to_stderr("meter", level, message, **fields)
