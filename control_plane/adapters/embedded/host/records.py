"""The host's own account of starts and ends: `records.log`, read by metering.

Lines are appended whole; the format is in docs/contracts.md.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

__all__ = ["Records"]

_log = logging.getLogger(__name__)


class Records:
    """Appends JSON lines to one file that stays open."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o640)
        self._end_torn_line()

    def write(self, kind: str, **values: Any) -> None:
        """Append one record. A full disk must not end the host: the loss is logged."""
        line = json.dumps({"v": 1, "kind": kind} | values, separators=(",", ":")).encode() + b"\n"
        try:
            if os.write(self._descriptor, line) != len(line):
                os.write(self._descriptor, b"\n")
        except OSError as error:
            _log.error("a record of the host is lost: %s", error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _end_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")
