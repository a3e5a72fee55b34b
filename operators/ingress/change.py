"""What turns the live state into the wanted one: a pure difference, in the order that breaks nothing.

Servers come first, then ids, then what points at them, and the hashes last, so
that a probe's answer means that all the rest is live too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from control_plane.adapters.gateway.commands import Command, add_entries, delete_entries, set_entries
from operators.ingress.model import MAP_NAMES, Desired, Maps, Server, Servers
from operators.ingress.settings import IngressSettings

__all__ = ["CONTENT_MAPS", "Change", "Leaving", "keep_content", "plan_change"]

# Keyed by the hash of their content: nothing in them changes, and calls under way may still hold a key.
CONTENT_MAPS = ("splits", "weights", "states", "steps")
_POINTING_MAPS = ("redirects", "routes-public", "routes-private", "hashes-public", "hashes-private")

# A slot's number and a server's name.
Leaving = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Change:
    """The commands of one change, in two steps between which certificates are shown."""

    servers: tuple[Command, ...]
    entries: tuple[Command, ...]
    # Servers that get no new call from now on.
    leaving: tuple[Leaving, ...]


def keep_content(live: Maps, wanted: Desired, since: dict[tuple[str, str], float], ripe: float) -> Desired:
    """Return the wanted state with live content that nothing has pointed at only since after `ripe`.

    `since` says when each entry was first seen unused; this adds and removes what changed.
    """
    maps = dict(wanted.maps)
    for name in CONTENT_MAPS:
        unused = live[name].keys() - maps[name].keys()
        kept = {key: live[name][key] for key in unused if since.get((name, key), ripe + 1) > ripe}
        if kept:
            maps[name] = {**maps[name], **kept}
    return replace(wanted, maps=maps)


def _server_commands(live: Servers, wanted: Servers, dying: Mapping[Leaving, Server]) -> Iterable[Command]:
    for number, servers in wanted.items():
        before = live.get(number, ())
        if before is servers:
            continue
        known = set(before)
        for server in servers:
            if server in known:
                continue
            name = f"k{number}/{server.name}"
            if (number, server.name) in dying:
                yield Command(f"set server {name} state ready")
                continue
            yield Command(f"add server {name} {server.words}", frozenset({"New server registered."}))
            yield Command(f"enable server {name}")


def _leaving(live: Servers, wanted: Servers) -> Iterable[Leaving]:
    for number, servers in live.items():
        after = wanted.get(number, ())
        if after is not servers:
            known = set(after)
            yield from ((number, server.name) for server in servers if server not in known)


def _entry_commands(settings: IngressSettings, live: Maps, wanted: Maps) -> Iterable[Command]:
    for name in (*CONTENT_MAPS, *_POINTING_MAPS):
        before, after, file = live[name], wanted[name], settings.map_file(name)
        if before == after:
            continue
        added = {key: after[key] for key in after.keys() - before.keys()}
        yield from add_entries(file, added)
        changed = {key: value for key, value in after.items() if before.get(key, value) != value}
        yield from set_entries(file, changed)
    for name in (*_POINTING_MAPS, *CONTENT_MAPS):
        yield from delete_entries(settings.map_file(name), sorted(live[name].keys() - wanted[name].keys()))


def plan_change(
    settings: IngressSettings, live: Desired, wanted: Desired, dying: Mapping[Leaving, Server]
) -> Change:
    """Return what turns the live state into the wanted one; `dying` servers are still there, unused."""
    return Change(
        servers=tuple(_server_commands(live.servers, wanted.servers, dying)),
        entries=tuple(_entry_commands(settings, live.maps, wanted.maps)),
        leaving=tuple(_leaving(live.servers, wanted.servers)),
    )


def unused_since(
    live: Maps, wanted: Maps, since: Mapping[tuple[str, str], float], now: float
) -> dict[tuple[str, str], float]:
    """Return since when each live entry of content is unused."""
    return {
        (name, key): since.get((name, key), now)
        for name in CONTENT_MAPS
        for key in live[name].keys() - wanted[name].keys()
    }


def changed_maps(live: Maps, wanted: Maps) -> list[str]:
    """Return the names of the maps that differ."""
    return [name for name in MAP_NAMES if live[name] != wanted[name]]
