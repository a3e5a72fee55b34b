"""What to tell a running HAProxy: a pure difference of maps and servers, in order.

Revocations come first, then make before break: servers, then ids, then what
points at them. Splits, weights and servers that nothing points at any more are
named as stale; the gateway removes them after a grace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from control_plane.adapters.gateway.commands import Command, add_entries, delete_entries, set_entries
from control_plane.adapters.gateway.config import server_words
from control_plane.adapters.gateway.maps import Maps
from control_plane.adapters.gateway.model import GatewaySettings, SlotServer

__all__ = ["Plan", "delete_from", "plan_change"]

# What a key or function loses must be lost in draining workers too.
_EVERYWHERE = frozenset({"keys", "addresses", "scopes", "modes", "policies", "cors", "lease", "hop"})
_LATE = frozenset({"splits", "weights"})
_ADD_ORDER = (
    "splits",
    "weights",
    "cors",
    "scopes",
    "addresses",
    "modes",
    "hop",
    "policies",
    "keys",
    "hosts",
    "routes",
)
_REVOKE_ORDER = ("keys", "scopes")
# A key's old addresses and modes go when its new ones stand, so that no allowed call meets neither.
_REMOVE_ORDER = ("routes", "hosts", "policies", "cors", "addresses", "modes", "hop")


@dataclass(frozen=True, slots=True)
class Plan:
    """The commands of one change, and what it leaves behind."""

    commands: tuple[Command, ...] = ()
    # (map, key) pairs and slots that the wanted state no longer uses.
    stale_entries: tuple[tuple[str, str], ...] = ()
    stale_slots: tuple[int, ...] = ()
    # More slots, or a server that would change in place: only a reload does it.
    reload: bool = field(default=False)


def _add(settings: GatewaySettings, name: str, entries: Mapping[str, str]) -> Iterable[Command]:
    return add_entries(settings.map_file(name), entries, everywhere=name in _EVERYWHERE)


def _set(settings: GatewaySettings, name: str, entries: Mapping[str, str]) -> Iterable[Command]:
    return set_entries(settings.map_file(name), entries, everywhere=name in _EVERYWHERE)


def delete_from(settings: GatewaySettings, name: str, keys: Iterable[str]) -> Iterable[Command]:
    """Delete a map's keys; routes go from draining workers too."""
    everywhere = name in _EVERYWHERE or name == "routes"
    return delete_entries(settings.map_file(name), keys, everywhere=everywhere)


def _server_commands(live: Mapping[int, SlotServer], wanted: Mapping[int, SlotServer]) -> Iterable[Command]:
    for slot, server in wanted.items():
        before = live.get(slot)
        name = f"s{slot}/{server.target}"
        if before is None:
            yield Command(f"add server {name} {server_words(server)}", frozenset({"New server registered."}))
            yield Command(f"enable server {name}")
        elif before.maxconn != server.maxconn:
            yield Command(f"set maxconn server {name} {server.maxconn}")


def _changes_in_place(live: Mapping[int, SlotServer], wanted: Mapping[int, SlotServer]) -> bool:
    return any(
        (before := live.get(slot)) is not None
        and (before.target, before.socket) != (server.target, server.socket)
        for slot, server in wanted.items()
    )


def plan_change(
    settings: GatewaySettings,
    live: tuple[Maps, Mapping[int, SlotServer]],
    wanted: tuple[Maps, Mapping[int, SlotServer]],
) -> Plan:
    """Return what turns the live maps and servers into the wanted ones."""
    (live_maps, live_servers), (maps, servers) = live, wanted
    removed = {name: live_maps[name].keys() - maps[name].keys() for name in maps}
    commands: list[Command] = []
    for name in _REVOKE_ORDER:
        commands += delete_from(settings, name, sorted(removed[name]))
    commands += _server_commands(live_servers, servers)
    for name in _ADD_ORDER:
        before, after = live_maps[name], maps[name]
        if before == after:
            continue
        commands += _add(settings, name, {key: after[key] for key in after if key not in before})
        changed = {key: value for key, value in after.items() if before.get(key, value) != value}
        commands += _set(settings, name, changed)
    for name in _REMOVE_ORDER:
        commands += delete_from(settings, name, sorted(removed[name]))
    return Plan(
        commands=tuple(commands),
        stale_entries=tuple((name, key) for name in sorted(_LATE) for key in sorted(removed[name])),
        stale_slots=tuple(sorted(live_servers.keys() - servers.keys())),
        reload=_changes_in_place(live_servers, servers),
    )
