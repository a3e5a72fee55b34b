"""Which server stands in which slot: sticky numbers, the lowest free one first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from control_plane.adapters.gateway.model import SlotServer
from control_plane.domain.desired import Target
from control_plane.errors import Invalid

__all__ = ["assign_slots", "server_of"]

# sun_path has 108 bytes and HAProxy adds a suffix while it binds.
LONGEST_SOCKET = 97


def server_of(target: Target) -> SlotServer:
    """Return a target's server. Raises Invalid for a path that HAProxy could not read."""
    path = target.socket
    plain = path.isascii() and path.isprintable() and not set(path) & set(" \\;'\"#,$")
    if not plain or not path.startswith("/") or len(path) > LONGEST_SOCKET:
        raise Invalid(
            f"the gateway cannot reach the socket {path!r}",
            hint=f"use an absolute path of at most {LONGEST_SOCKET} plain characters",
        )
    return SlotServer(target.id, path, max(1, target.maxconn))


def assign_slots(
    targets: Iterable[Target], taken: Mapping[int, SlotServer], count: int
) -> tuple[dict[int, SlotServer], int]:
    """Return the wanted servers by slot, and how many slots that needs (doubled when used up).

    A target keeps its slot; a server that is on its way out keeps its own too.
    """
    where = {server.target: slot for slot, server in taken.items()}
    free = [slot for slot in range(count) if slot not in taken]
    heapq.heapify(free)
    wanted: dict[int, SlotServer] = {}
    for target in targets:
        slot = where.get(target.id)
        if slot is None:
            if not free:
                free = list(range(count, count * 2))
                count *= 2
            slot = heapq.heappop(free)
        wanted[slot] = server_of(target)
    return wanted, count
