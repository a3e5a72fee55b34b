"""The meter as a process: ready, stopped, killed at any moment, and its lease on disk."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control_plane.meter.adopt import adopt
from control_plane.store.usage_intake import ACCESS_LOG
from tests.meter.lines import access_line, end_line
from tests.meter.process import MeterProcess, wait_until


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[MeterProcess]:
    process = MeterProcess(tmp_path)
    yield process
    process.close()


def test_a_meter_counts_what_comes_and_what_is_left_at_its_end(meter: MeterProcess) -> None:
    meter.start()
    with meter.log.open("ab", buffering=0) as log:
        log.write(b"".join(access_line(number) for number in range(100)))
        wait_until(lambda: meter.counted() == 100, 2.0)
        log.write(b"".join(access_line(number) for number in range(100, 5_000)))
    assert meter.end(signal.SIGTERM) == 0
    assert meter.counted() == 5_000


def test_the_lease_is_there_when_the_meter_is_ready_and_is_not_renewed_over_a_lost_log(
    meter: MeterProcess,
) -> None:
    lease = meter.settings.data / "gateway" / "lease.map"

    def until() -> int:
        name, value = lease.read_text().split()
        assert name == "until"
        return int(value)

    meter.log.write_bytes(access_line(1))
    meter.start()
    first = until()
    assert 3 <= first - time.time() <= 5
    wait_until(lambda: until() > first)
    wait_until(lambda: meter.counted() == 1)
    meter.log.write_bytes(b"")
    wait_until(lambda: b"log_changed" in meter.errors.read_bytes() or b"was cut" in meter.errors.read_bytes())
    last = until()
    wait_until(lambda: b"lease withheld" in meter.errors.read_bytes())
    assert until() <= last + 1
    said = [json.loads(line) for line in meter.errors.read_text().splitlines()]
    assert any("accept the loss" in (line.get("hint") or "") for line in said)
    adopt(meter.config, ACCESS_LOG)
    with meter.log.open("ab") as log:
        log.write(access_line(1) + access_line(2))
    wait_until(lambda: meter.counted() == 2)
    wait_until(lambda: until() > last + 1)
    assert meter.query("SELECT length FROM log_rejects") == [(0,)]
    assert meter.end(signal.SIGTERM) == 0


class Gateway(threading.Thread):
    """Appends lines as a busy gateway does, torn ones included, until told to stop."""

    def __init__(self, log: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self.ended = 0
        self.torn = 0
        self.stopping = threading.Event()
        self._log = log
        self._random = random.Random(seed)

    def run(self) -> None:
        with self._log.open("ab", buffering=0) as log:
            while not self.stopping.wait(0.002):
                for _ in range(self._random.randrange(1, 20)):
                    self._call(log.write)

    def _call(self, write: Callable[[bytes], int | None]) -> None:
        number = self.written
        streaming = number % 10 == 0
        if self._random.random() < 0.01:
            write(access_line(number)[: self._random.randrange(10, 300)])
            self.torn += 1
        write(access_line(number, mode="stream" if streaming else "sync"))
        self.written += 1
        if streaming:
            write(end_line(number))
            self.ended += 1


def kill_under_load(meter: MeterProcess, kills: int) -> None:
    gateway = Gateway(meter.log, seed=7)
    moments = random.Random(11)
    gateway.start()
    for _ in range(kills):
        meter.start()
        time.sleep(moments.uniform(0.0, 0.4))
        assert meter.end(signal.SIGKILL) == -signal.SIGKILL
    gateway.stopping.set()
    gateway.join()
    meter.start()
    assert meter.end(signal.SIGTERM) == 0
    assert meter.counted() == gateway.written > 0
    (sums,) = meter.query("SELECT sum(calls), sum(billed_ms), sum(bytes_out) FROM usage_hourly")
    plain = gateway.written - gateway.ended
    assert sums == (
        gateway.written,
        plain * 12 + gateway.ended * 900,
        plain * 480 + gateway.ended * 9_000,
    )
    assert meter.query("SELECT count(*) FROM usage_events WHERE stream = 'open'") == [(0,)]
    assert meter.query("SELECT count(*) FROM log_rejects") == [(gateway.torn,)]
    assert meter.query("SELECT sum(records), sum(repeated) FROM log_hours") == [(gateway.written, 0)]


def test_kills_lose_and_double_nothing(meter: MeterProcess) -> None:
    kill_under_load(meter, 3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_kills_lose_and_double_nothing(meter: MeterProcess) -> None:
    kill_under_load(meter, 50)
