"""The public TCP listeners and the access log: opened once, kept over every restart of the gateway."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from control_plane.errors import Unavailable
from control_plane.settings import Settings

__all__ = ["open_listeners"]

# As many connections wait in the kernel while the gateway restarts.
_BACKLOG = 4096


def open_listeners(settings: Settings) -> dict[str, int]:
    """Return environment name -> descriptor. Raises Unavailable with one exact instruction."""
    listen = settings.listen
    return {
        "INGOT_FD_CONSOLE": _listen(listen.address, listen.console_port, "CONSOLE_PORT"),
        "INGOT_FD_FUNCTIONS": _listen(listen.address, listen.functions_port, "FUNCTIONS_PORT"),
        "INGOT_FD_ACCESS_LOG": _open_log(settings.data / "gateway" / "access.log"),
    }


def _listen(address: str, port: int, name: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = {
            errno.EADDRINUSE: "another program uses it",
            errno.EACCES: "this user may not use a port below 1024",
        }.get(error.errno or 0, os.strerror(error.errno or 0))
        raise Unavailable(
            f"Port {port} of {address} cannot be opened: {why}.",
            hint=f"Choose another one: INGOT_LISTEN_{name}={port + 1000} make up",
        ) from error
    listener.setblocking(False)
    return listener.detach()


def _open_log(path: Path) -> int:
    # One shared O_APPEND description: with one for each worker, lines overwrite each other.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    # HAProxy sets O_NONBLOCK in a way that takes O_APPEND away. From then on lines go where the
    # shared offset stands, which must be behind those of earlier starts.
    os.lseek(descriptor, 0, os.SEEK_END)
    return descriptor
