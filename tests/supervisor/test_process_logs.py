"""A process's log that is full is set aside while the process goes on writing."""

from __future__ import annotations

import os
from pathlib import Path

from control_plane.supervisor.process_logs import set_aside_full


def test_a_full_log_is_set_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    full, small = tmp_path / "api.log", tmp_path / "host.log"
    small.write_bytes(b"x" * 10)
    writer = os.open(full, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(writer, b"a" * 200)
    assert set_aside_full(tmp_path, 100) == ["api.log"]
    os.write(writer, b"next\n")
    os.close(writer)
    assert full.read_bytes() == b"next\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"a" * 200
    assert small.read_bytes() == b"x" * 10
    assert set_aside_full(tmp_path, 100) == []


def test_zero_keeps_everything(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(b"a" * 200)
    assert set_aside_full(tmp_path, 0) == []
