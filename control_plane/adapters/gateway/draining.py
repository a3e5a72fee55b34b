"""Says when a gateway that was told to end has nothing left to answer.

HAProxy keeps idle connections for their next call until their own time is
over, which a person who stops Ingot should not have to wait for.
"""

from __future__ import annotations

import re

from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.runtime_socket import Master

__all__ = ["has_drained"]

# Sessions of people and callers; those of HAProxy's own sockets have other frontends.
_OPEN = re.compile(r"^0x[0-9a-f]+: proto=\S+ src=\S+ fe=(?:console|functions|relay_inner) ", re.MULTILINE)


def has_drained(settings: GatewaySettings) -> bool:
    """Return whether no worker has a call or an upload under way; an idle connection has neither.

    A gateway that does not answer counts as busy: its patience ends by time.
    """
    master = Master(settings.master_socket, timeout_s=0.5)
    try:
        return not any(_OPEN.search(master.worker(one.pid).ask("show sess")) for one in master.workers())
    except OSError:
        return False
