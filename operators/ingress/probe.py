"""Asks a listener which rules of a host are live; the answer is the hash of an Ingress's spec.

The listeners' probe sockets are Unix sockets of the controller's own, so nobody
outside can ask, and no port is used up.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

from operators.ingress.model import Probe
from operators.ingress.settings import IngressSettings

__all__ = ["is_live"]

_HASH = re.compile(rb"\r\nk-network-hash: ([0-9a-f]{64})\r\n", re.IGNORECASE)
TIMEOUT = 2.0
LARGEST_HEAD = 16_384


def _answer(connection: socket.socket, probe: Probe) -> bytes:
    request = f"GET {probe.path} HTTP/1.1\r\nHost: {probe.host}\r\n\r\n"
    connection.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < LARGEST_HEAD:
        piece = connection.recv(LARGEST_HEAD)
        if not piece:
            break
        head += piece
    return head


def _live_on(path: str, probes: Iterable[Probe], wanted: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        for probe in probes:
            head = _answer(connection, probe)
            found = _HASH.search(head)
            if not head.startswith(b"HTTP/1.1 200 ") or found is None or found[1].decode() != wanted:
                return False
    return True


def is_live(settings: IngressSettings, probes: Iterable[Probe], wanted: str) -> bool:
    """Say whether every host answers with the wanted hash on its listener."""
    by_table: dict[str, list[Probe]] = {}
    for probe in probes:
        by_table.setdefault(probe.table, []).append(probe)
    try:
        return all(_live_on(settings.probe_socket(table), asked, wanted) for table, asked in by_table.items())
    except OSError:
        return False
