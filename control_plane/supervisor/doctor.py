"""`ingot doctor`: what this machine offers, one plain sentence for each fact."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

from control_plane.adapters.gateway.binary import find_haproxy
from control_plane.errors import IngotError
from control_plane.settings import Settings
from control_plane.supervisor.isolation import choose_isolation, probe_isolation

__all__ = ["examine"]


def examine(settings: Settings) -> Iterator[str]:
    """Yield lines for a person; each begins with “ok” or “--”."""
    yield f"ok  Python {sys.version.split()[0]} at {sys.executable}."
    try:
        yield f"ok  The gateway is {find_haproxy()}."
    except IngotError as error:
        yield f"--  {error.message} {error.hint or ''}"
    for fact in probe_isolation()["facts"]:
        yield f"{'ok' if fact['ok'] else '--'}  {fact['sentence']}"
    try:
        yield f"ok  Functions would run at isolation level {choose_isolation(settings.host.isolation)}."
    except IngotError as error:
        yield f"--  {error.message} {error.hint or ''}"
    for port in (settings.listen.console_port, settings.listen.functions_port):
        with socket.socket() as probe:
            taken = probe.connect_ex((settings.listen.address, port)) == 0
        state = "in use, by this Ingot if it runs" if taken else "free"
        yield f"{'--' if taken else 'ok'}  Port {port} is {state}."
    yield f"ok  Data is in {settings.data}, sockets in {settings.run}, user id {os.geteuid()}."
