"""A network as the beginnings of hexadecimal addresses, which is how the gateway's map finds it.

HAProxy's own map of networks would be one for all keys. A beginning of digits
can stand behind a key's id, so one look-up answers for exactly that key. What a
network is allowed to be is the domain's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from control_plane.errors import Invalid

__all__ = ["address_keys"]

_DIGIT_BITS = 4
# An IPv4 caller of a socket that listens for IPv6 too.
_MAPPED = "00000000000000000000FFFF"


def address_keys(key: str, network: str) -> Iterator[str]:
    """Yield the map's keys for one network of a caller's key: digits of a whole address, key, beginning."""
    try:
        parsed = ip_network(network)
    except ValueError as error:
        raise Invalid(f"the gateway cannot hold network {network!r}: {error}") from error
    for digits in _beginnings(parsed):
        if parsed.version == 4:
            yield f"8|{key}|{digits}"
            yield f"32|{key}|{_MAPPED}{digits}"
        else:
            yield f"32|{key}|{digits}"


def _beginnings(network: IPv4Network | IPv6Network) -> Iterator[str]:
    """Yield the digits that every address of the network begins with; half a digit is spread."""
    whole = -(-network.prefixlen // _DIGIT_BITS) * _DIGIT_BITS
    for part in network.subnets(new_prefix=whole):
        yield part.network_address.packed.hex().upper()[: whole // _DIGIT_BITS]
