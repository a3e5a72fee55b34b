"""The meter as a process over a data folder of a test's own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from control_plane.settings import Metering, Retention, Settings, load_settings

_ROLE = (
    "import json, os, sys; from control_plane.meter.main import run; "
    "run(json.load(open(os.environ['INGOT_CONFIG'])))"
)
_ROOT = Path(__file__).parents[2]


class MeterProcess:
    """Starts meters over one data folder and ends every one of them."""

    def __init__(self, folder: Path, run: str = "run", lease_s: int = 5) -> None:
        for name in ("gateway", "host", "db", run):
            (folder / name).mkdir(exist_ok=True)
        settings = replace(
            load_settings(folder, {}),
            run=folder / run,
            metering=Metering(lease_s=lease_s),
            # The lines of tests are of one day, and would be too old some day.
            retention=Retention(usage_days=0),
        )
        self.settings: Settings = settings
        self.config = folder / "meter.json"
        self.config.write_text(settings.document())
        self.log = folder / "gateway" / "access.log"
        self.errors = folder / "errors.jsonl"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        readable, writable = os.pipe()
        environment = {**os.environ, "INGOT_CONFIG": str(self.config), "INGOT_READY_FD": str(writable)}
        with self.errors.open("ab") as errors:
            self.running = subprocess.Popen(
                [sys.executable, "-c", _ROLE], env=environment, pass_fds=[writable], stderr=errors, cwd=_ROOT
            )
        os.close(writable)
        with os.fdopen(readable, "rb") as ready:
            assert ready.readline() == b"READY=1\n", self.errors.read_text()

    def end(self, number: signal.Signals) -> int:
        assert self.running is not None
        self.running.send_signal(number)
        return self.running.wait(timeout=40)

    def query(self, statement: str) -> list[tuple[int, ...]]:
        connection = sqlite3.connect(self.settings.data / "db" / "usage.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def counted(self) -> int:
        return self.query("SELECT count(*) FROM usage_events")[0][0]

    def close(self) -> None:
        """End the meter if it still runs."""
        if self.running and self.running.poll() is None:
            self.running.kill()
            self.running.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until it holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
