"""Finds and ends open sessions: a target's by server name, a key's by its callers' addresses.

`show sess` names no key, so the table `open_calls` holds key and caller's
address of each call that is under way.
"""

from __future__ import annotations

import re

from control_plane.adapters.gateway.runtime_socket import RuntimeSocket

__all__ = ["callers_of", "cut_sessions", "session_pointers"]

_CALL = re.compile(r"^0x[0-9a-f]+: key=([^|\s]+)\|(\S+) use=([1-9]\d*) ", re.MULTILINE)
_SESSION = re.compile(r"^(0x[0-9a-f]+): proto=\S+ src=(\S+) fe=functions be=\S+ srv=\S+ ", re.MULTILINE)
_SERVED = re.compile(r"^(0x[0-9a-f]+): proto=\S+ src=\S+ fe=\S+ be=\S+ srv=(\S+) ", re.MULTILINE)


def callers_of(table: str, key: str) -> frozenset[str]:
    """Return the addresses that have calls of a key under way, from `show table open_calls`."""
    return frozenset(address for name, address, _ in _CALL.findall(table) if name == key)


def session_pointers(sessions: str, target: str, callers: frozenset[str]) -> list[str]:
    """Return the sessions of a target, and those of callers, from `show sess`."""
    served = [pointer for pointer, server in _SERVED.findall(sessions) if server == target]
    called = [pointer for pointer, source in _SESSION.findall(sessions) if source in callers]
    return [*served, *called]


def cut_sessions(worker: RuntimeSocket, target_or_key: str) -> int:
    """End the sessions in one worker; returns how many. Raises OSError."""
    callers = callers_of(worker.ask("show table open_calls"), target_or_key)
    pointers = session_pointers(worker.ask("show sess"), target_or_key, callers)
    for pointer in pointers:
        worker.ask(f"shutdown session {pointer}")
    return len(pointers)
