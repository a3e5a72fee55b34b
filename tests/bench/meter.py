"""How soon a call is visible as usage at the highest rate, and how fast a backlog of lines drains."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.functions import HELLO
from tests.bench.load import Load, request
from tests.bench.processes import cpu_seconds
from tests.bench.report import Check, Report, Result, fsync_ms
from tests.meter.lines import BEGAN_MS, access_line
from tests.meter.process import MeterProcess
from tests.support.system import System, running_system, wait_for

__all__ = ["run"]

_CLIENTS = 8
_LOOK_S = 0.02
# Lines that the generator writes at once.
_BLOCK = 10_000


def run(report: Report, *, quick: bool = False) -> None:
    """Call as fast as eight clients can; then let a meter of its own count a backlog."""
    with running_system() as system:
        _visible(report, system, 2.0 if quick else 10.0)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        _drain(report, Path(folder), 200_000 if quick else 5_000_000)


def _visible(report: Report, system: System, seconds: float) -> None:
    key = system.key("bench")
    system.publish("hello", HELLO)
    system.wait_callable("hello", key)
    message = request("/acme/hello", b'{"name":"a"}', {"X-Api-Key": key, "Content-Type": "application/json"})
    load = Load(("127.0.0.1", system.functions_port), lambda _: message, clients=_CLIENTS, collect_ids=True)
    with _Watcher(system.data / "db" / "usage.db") as watcher:
        outcome = load.run(seconds=seconds)
        wait_for(lambda: watcher.seen.keys() >= set(outcome.usage_ids), 60, 0.1)
    answered = dict(zip(outcome.usage_ids, outcome.answered_at, strict=True))
    delays = [(watcher.seen[one] - at) * 1000 for one, at in answered.items()]
    rate = round(len(answered) / outcome.seconds)
    row = Result.of(
        "from the full answer to a readable row",
        delays,
        outcome.failures,
        calls_per_s=rate,
        refused=watcher.refused(),
    )
    report.results.append(row)
    report.checks += [
        Check.at_most("usage visible p99, ms", row.p99, 2_000),
        Check.is_true("every call was answered", outcome.failures == 0),
        Check.is_true("each has an id of its own", len(answered) == len(outcome.usage_ids)),
    ]


class _Watcher:
    """Looks into the usage database and notes when each row was there at the latest."""

    def __init__(self, database: Path) -> None:
        # usage id -> Unix time
        self.seen: dict[str, float] = {}
        self._database = database
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def refused(self) -> dict[str, int]:
        """Return why calls were refused, and how often."""
        query = "SELECT refusal, count(*) FROM usage_events WHERE refusal != '' GROUP BY refusal"
        with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
            return dict(connection.execute(query).fetchall())

    def _run(self) -> None:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        last = 0
        while not self._ended.wait(_LOOK_S):
            query = "SELECT seq, id FROM usage_events WHERE seq > ? ORDER BY seq"
            rows = connection.execute(query, (last,)).fetchall()
            now = time.time()
            for sequence, one in rows:
                last = sequence
                self.seen[one] = now
        connection.close()


def _drain(report: Report, folder: Path, lines: int) -> None:
    meter = MeterProcess(folder)
    with meter.log.open("wb") as log:
        for block in _blocks(lines):
            log.write(block)
    size = meter.log.stat().st_size
    began = time.perf_counter()
    meter.start()
    try:
        wait_for(lambda: _counted_lines(meter) >= lines, 1_200, 0.2)
        seconds = time.perf_counter() - began
        assert meter.running is not None
        peak, cpu_s = _peak_mb(meter.running.pid), cpu_seconds([meter.running.pid])
        status = meter.end(signal.SIGTERM)
    finally:
        meter.close()
    rows, distinct = meter.query("SELECT count(*), count(DISTINCT id) FROM usage_events")[0]
    summed = meter.query("SELECT sum(calls) FROM usage_hourly")[0][0]
    report.results.append(
        Result.of(
            f"drain {lines} lines",
            [seconds * 1000],
            lines_per_s=round(lines / seconds),
            # Beside other work the rate shows the machine; this shows the meter.
            lines_per_cpu_s=round(lines / cpu_s),
            peak_rss_mb=round(peak),
            log_mb=round(size / 2**20),
            log_mb_left_on_disk=round(meter.log.stat().st_blocks * 512 / 2**20),
            database_mb=round((folder / "db" / "usage.db").stat().st_size / 2**20),
            fsync_ms=fsync_ms(),
        )
    )
    report.checks += [
        Check.at_least("lines drained per second", lines / seconds, 20_000),
        Check.at_most("peak memory of the meter, MB", peak, 256),
        Check.is_true("each line is one row and one call", rows == distinct == summed == lines),
        Check.is_true("the meter ended cleanly", status == 0),
    ]


def _blocks(lines: int) -> Iterator[bytes]:
    """Yield lines as `access_line` writes them, made from few of its lines to be quick."""
    patterns = []
    for kind in range(20):
        at = f"{BEGAN_MS + kind}"
        line = access_line(kind).replace(b"%", b"%%")
        line = line.replace(f"{at}-{kind:032x}".encode(), b"%(at)d-%(number)032x")
        patterns.append(line.replace(f'"t":"{at}"'.encode(), b'"t":"%(at)d"'))
    for first in range(0, lines, _BLOCK):
        numbers = range(first, min(first + _BLOCK, lines))
        yield b"".join(
            patterns[number % 20] % {b"at": BEGAN_MS + number, b"number": number} for number in numbers
        )


def _counted_lines(meter: MeterProcess) -> int:
    found = meter.query("SELECT lines FROM log_offsets WHERE source = 'access'")
    return found[0][0] if found else 0


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
