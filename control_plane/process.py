"""What every process of Ingot does at its start and end: keys, readiness, log lines, stopping.

The formats are in docs/contracts.md. What a process is for is not known here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from control_plane.json_logs import json_line

__all__ = ["inherited_keys", "log_to_stderr", "say_ready", "stop_event"]


def inherited_keys() -> dict[str, str]:
    """Return the keys on the descriptor that INGOT_SECRETS_FD names, name -> base64, and close it."""
    number = os.environ.pop("INGOT_SECRETS_FD", "")
    if not number:
        return {}
    with os.fdopen(int(number), "rb") as file:
        keys: dict[str, str] = json.loads(file.read())
    return keys


def say_ready() -> None:
    """Tell the supervisor that this process serves; without a supervisor, nothing."""
    number = os.environ.pop("INGOT_READY_FD", "")
    if number:
        os.write(int(number), b"READY=1\n")
        os.close(int(number))


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def log_to_stderr(role: str, level: str, message: str, **fields: Any) -> None:
    """Write one JSON line about this process."""
    sys.stderr.write(json_line(level, message, {"role": role, **fields}) + "\n")
    sys.stderr.flush()
