"""What ended processes leave in the run folder."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from control_plane.supervisor.folders import remove_sockets


def test_sockets_go_and_all_else_stays() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / "fn").mkdir()
        (run / "notes").touch()
        for path in (run / "host.sock", run / "fn" / "t1.sock"):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        remove_sockets(run)
        assert {path.name for path in run.rglob("*")} == {"fn", "notes"}
