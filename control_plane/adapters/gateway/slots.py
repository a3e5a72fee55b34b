"""Which server stands in which slot: sticky numbers, the lowest free one first."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Mapping

from control_plane.adapters.gateway.model import SlotServer
from control_plane.domain.desired import Target
from control_plane.errors import Invalid

__all__ = ["assign_numbers", "assign_slots", "host_of", "server_of"]

# sun_path has 108 bytes and HAProxy adds a suffix while it binds.
LONGEST_SOCKET = 97
# A target of a cluster is not a socket but a host of its ingress.
_BY_HOST = "http://"
_ADDRESS = re.compile(r"([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5}")


def host_of(target: Target) -> str:
    """Return the host that a cluster's ingress knows a target by; empty for one with a socket of its own."""
    return target.socket.removeprefix(_BY_HOST) if target.socket.startswith(_BY_HOST) else ""


def server_of(target: Target, ingress: str = "") -> SlotServer:
    """Return a target's server. Raises Invalid for a path that HAProxy could not read."""
    path = target.socket
    if host_of(target):
        if not ingress:
            raise Invalid(
                f"the gateway has no way to {path!r}",
                hint="set gateway.ingress to where the cluster's ingress answers",
            )
        if _ADDRESS.fullmatch(ingress):
            return SlotServer(target.id, ingress, max(1, target.maxconn))
        path = ingress
    plain = path.isascii() and path.isprintable() and not set(path) & set(" \\;'\"#,$")
    if not plain or not path.startswith("/") or len(path) > LONGEST_SOCKET:
        raise Invalid(
            f"the gateway cannot reach the socket {path!r}",
            hint=f"use an absolute path of at most {LONGEST_SOCKET} plain characters",
        )
    return SlotServer(target.id, path, max(1, target.maxconn))


def assign_numbers(
    names: Iterable[str], where: Mapping[str, int], taken: Collection[int], count: int
) -> tuple[dict[str, int], int]:
    """Return a slot for each name, and how many slots that needs (doubled when used up).

    A name keeps the slot that it has in `where`; what is in `taken` is given to no other.
    """
    free = [slot for slot in range(count) if slot not in taken]
    heapq.heapify(free)
    numbers: dict[str, int] = {}
    for name in names:
        slot = where.get(name)
        if slot is None:
            if not free:
                free = list(range(count, count * 2))
                count *= 2
            slot = heapq.heappop(free)
        numbers[name] = slot
    return numbers, count


def assign_slots(
    targets: Iterable[Target], taken: Mapping[int, SlotServer], count: int, ingress: str = ""
) -> tuple[dict[int, SlotServer], int]:
    """Return the wanted servers by slot, and how many slots that needs.

    A target keeps its slot; a server that is on its way out keeps its own too.
    """
    wanted = {target.id: target for target in targets}
    where = {server.target: slot for slot, server in taken.items()}
    numbers, count = assign_numbers(wanted, where, taken, count)
    return {slot: server_of(wanted[name], ingress) for name, slot in numbers.items()}, count
