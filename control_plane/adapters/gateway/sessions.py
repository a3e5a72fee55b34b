"""Finds and ends open sessions: a target's by server name, a key's streams by address.

`show sess` tells no key. A stream reaches the inner frontend over the PROXY
protocol with an address made from its key, and that is what is looked for.
"""

from __future__ import annotations

import re

from control_plane.adapters.gateway.maps import key_address
from control_plane.adapters.gateway.runtime_socket import RuntimeSocket

__all__ = ["cut_sessions", "session_pointers"]

_LINE = re.compile(r"^(0x[0-9a-f]+): proto=\S+ src=(\S+) fe=(\S+) be=(\S+) srv=(\S+) ", re.MULTILINE)


def session_pointers(listing: str, target_or_key: str) -> list[str]:
    """Return the pointers of a target's or key's sessions in a `show sess` listing."""
    address = key_address(target_or_key)
    return [
        pointer
        for pointer, source, _, _, server in _LINE.findall(listing)
        if server == target_or_key or source.rpartition(":")[0].strip("[]") == address
    ]


def cut_sessions(worker: RuntimeSocket, target_or_key: str) -> int:
    """End the sessions in one worker; returns how many. Raises OSError."""
    pointers = session_pointers(worker.ask("show sess"), target_or_key)
    for pointer in pointers:
        worker.ask(f"shutdown session {pointer}")
    return len(pointers)
