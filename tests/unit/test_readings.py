"""The machine and the gateway, read from the texts that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.embedded.machine_readings import MachineReadings
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.runtime_socket import RuntimeSocket
from control_plane.adapters.gateway.statistics import GatewayStatistics

HEAD = "# pxname,svname,qcur,scur,req_tot,hrsp_4xx,hrsp_5xx,ttime,\n"


def proc(folder: Path, busy: int, idle: int) -> Path:
    (folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 5 5\ncpu0 1 2 3\n")
    (folder / "meminfo").write_text("MemTotal:  8192 kB\nMemFree: 1 kB\nMemAvailable:  2048 kB\n")
    return folder


def test_the_processors_use_is_since_the_reading_before(tmp_path: Path) -> None:
    read = MachineReadings(tmp_path, proc(tmp_path, 100, 900))
    first = read()
    assert "cpu_percent" not in first
    assert (first["memory_used_mb"], first["memory_total_mb"]) == (6.0, 8.0)
    assert 0 < first["disk_used_mb"] <= first["disk_total_mb"]
    proc(tmp_path, 150, 950)
    assert read()["cpu_percent"] == 50.0
    # A machine without a tick between two readings says nothing.
    assert "cpu_percent" not in read()


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    assert MachineReadings(tmp_path)()["memory_total_mb"] > 0


def test_a_kernel_without_these_figures_is_an_error(tmp_path: Path) -> None:
    proc(tmp_path, 1, 1)
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    with pytest.raises(OSError, match="no total"):
        MachineReadings(tmp_path, tmp_path)()


def test_the_gateways_counters_are_taken_as_differences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [
        "console,FRONTEND,,3,100,7,1,,\nfunctions,FRONTEND,,4,999,0,0,,\n",
        "api,BACKEND,8,1,100,0,0,12,\ns0,BACKEND,2,1,1,0,0,0,\nrelay,BACKEND,1,1,1,0,0,0,\n",
        "console,FRONTEND,,3,160,9,1,,\nfunctions,FRONTEND,,0,1,0,0,,\n",
        "",
        "console,FRONTEND,,1,5,0,2,,\n",
        "",
    ]

    def ask(_socket: Any, _text: str) -> str:
        return HEAD + answers.pop(0)

    monkeypatch.setattr(RuntimeSocket, "ask", ask)
    read = GatewayStatistics(GatewaySettings(tmp_path, tmp_path))
    assert read() == {"connections": 7.0, "queued": 3.0, "api_ms": 12.0}
    second = read()
    assert (second["api_requests"], second["api_refused"], second["api_failed"]) == (60.0, 2.0, 0.0)
    # A new worker counts from nothing.
    third = read()
    assert (third["api_requests"], third["api_refused"], third["api_failed"]) == (5.0, 0.0, 2.0)
