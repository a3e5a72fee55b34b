"""What an API key may be bound to, and which changes of it take something away.

Pure: how the gateway checks a key is the gateway's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from control_plane.domain.credentials import ApiKey
from control_plane.errors import Invalid

__all__ = ["MOST_NETWORKS", "checked_networks", "narrows"]

MOST_NETWORKS: Final = 50
# ::ffff:0:0/96 holds IPv4 addresses in the form that a socket for both families shows.
_MAPPED_BITS: Final = 96

_Network: TypeAlias = IPv4Network | IPv6Network


def checked_networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the networks as they are kept: one form each, sorted, none inside another."""
    if len(texts) > MOST_NETWORKS:
        raise Invalid(f"A key names at most {MOST_NETWORKS} networks.", field="networks")
    wanted = {_network(text) for text in texts}
    kept = [one for one in wanted if not any(other != one and _within(one, other) for other in wanted)]
    return tuple(str(one) for one in sorted(kept, key=_order))


def narrows(before: ApiKey, after: ApiKey) -> bool:
    """Say whether the second key refuses any call that the first one lets through."""
    return (
        _lost(before.scopes, after.scopes)
        or _lost(before.modes, after.modes)
        or _networks_lost(before.networks, after.networks)
    )


def _network(text: str) -> _Network:
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise Invalid(
            f"“{text[:60]}” is not a network: {error}.",
            field="networks",
            hint="Write a network such as 192.0.2.0/24 or 2001:db8::/32, or one address.",
        ) from error
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= _MAPPED_BITS:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _order(network: _Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _within(one: _Network, other: _Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.subnet_of(other)
    return isinstance(other, IPv6Network) and one.subnet_of(other)


def _lost(before: Iterable[str], after: Sequence[str]) -> bool:
    """Say whether a list lost something; an empty one holds everything."""
    held = set(before)
    return bool(after) and (not held or not held <= set(after))


def _networks_lost(before: Sequence[str], after: Sequence[str]) -> bool:
    if not after:
        return False
    held = [ip_network(text) for text in after]
    # Two halves that make a whole count as a loss: then a session more is ended, never one less.
    return not before or not all(any(_within(ip_network(text), one) for one in held) for text in before)
