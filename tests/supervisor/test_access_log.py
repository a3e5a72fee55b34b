"""The access log grows over every start, whatever the gateway does to its description."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from control_plane.settings import load_settings
from control_plane.supervisor.listeners import open_listeners


def test_a_gateway_that_clears_append_overwrites_nothing(tmp_path: Path) -> None:
    ports = {"INGOT_LISTEN_CONSOLE_PORT": "0", "INGOT_LISTEN_FUNCTIONS_PORT": "0"}
    settings = load_settings(tmp_path, ports)
    (tmp_path / "gateway").mkdir()
    for line in (b"first\n", b"second\n", b"third\n"):
        opened = open_listeners(settings)
        log = opened["INGOT_FD_ACCESS_LOG"]
        # HAProxy sets its own flags on what it inherits, and append is not among them.
        fcntl.fcntl(log, fcntl.F_SETFL, os.O_NONBLOCK)
        os.write(log, line)
        # A restarted gateway writes through another descriptor of the same description.
        again = os.dup(log)
        os.write(again, line)
        for descriptor in (again, *opened.values()):
            os.close(descriptor)
    written = (tmp_path / "gateway" / "access.log").read_bytes()
    assert written == b"first\nfirst\nsecond\nsecond\nthird\nthird\n"
