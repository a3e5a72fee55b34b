"""The metering lease: until when the gateway may let calls through."""

from __future__ import annotations

import contextlib

from control_plane.adapters.gateway.files import write_atomically
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.runtime_socket import Master, RuntimeSocket

__all__ = ["renew_lease"]


def renew_lease(settings: GatewaySettings, until: int) -> bool:
    """Let calls through until this Unix second; returns whether a running gateway heard it.

    The file serves the next start, so it comes first; it is not fsynced, because
    a lease lost with the machine is only renewed a second later.
    """
    path = settings.map_file("lease")
    write_atomically(path, f"until {until}\n", durable=False)
    command = f"set map {path} until {until}"
    try:
        heard = RuntimeSocket(settings.admin_socket).ask(command).strip() == ""
    except OSError:
        return False
    master = Master(settings.master_socket)
    with contextlib.suppress(OSError):
        for worker in master.workers():
            if worker.draining:
                master.worker(worker.pid).ask(command)
    return heard
