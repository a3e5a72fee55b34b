"""The map files as a pure function of the wanted state.

Values are fields between `|`, in the order in which `rules` reads them. Ids of
splits and weights are hashes of their content, so each route switches with one
changed value. Sockets, files and differences may not live here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from control_plane.adapters.gateway.addresses import address_keys
from control_plane.adapters.gateway.model import MAP_NAMES
from control_plane.adapters.gateway.slots import host_of
from control_plane.adapters.gateway.weights import content_id, spread
from control_plane.domain.desired import CallerKey, FunctionPolicy, GatewayState, Route, Target
from control_plane.errors import Invalid

__all__ = ["Maps", "make_maps"]

Maps = dict[str, dict[str, str]]

# A key without an end expires in the year 2286.
NEVER = 9_999_999_999

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"
_PATH = re.compile(rf"{_SEGMENT}/{_SEGMENT}(@{_SEGMENT})?")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.:\[\]-]{1,255}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,512}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    """Refuse anything that could end an entry, a field or a socket command early."""
    if not pattern.fullmatch(text):
        raise Invalid(f"the gateway cannot hold {what} {text!r}", hint=f"it must match {pattern.pattern}")
    return text


@lru_cache(maxsize=65_536)
def _policy_entry(policy: FunctionPolicy) -> tuple[str, str]:
    limited = policy.rate_10s > 0 or policy.concurrency > 0
    flags = "".join(
        letter
        for letter, holds in (
            ("p", policy.public),
            ("o", policy.own_authentication),
            ("u", policy.unsandboxed_page),
            ("l", limited),
        )
        if holds
    )
    organization = _checked(_ID, policy.organization, "organization")
    project = _checked(_ID, policy.project, "project")
    numbers = f"{policy.rate_10s}|{policy.concurrency}|{policy.body_limit}"
    function = _checked(_ID, policy.function, "function")
    return function, f"{organization}|{project}|{flags or '-'}|{numbers}"


@lru_cache(maxsize=65_536)
def _key_entry(key: CallerKey) -> tuple[str, str]:
    flags = "".join(
        letter
        for letter, holds in (
            ("s", bool(key.scopes)),
            ("l", key.rate_10s > 0 or key.concurrency > 0),
            ("a", bool(key.networks)),
            ("m", bool(key.modes)),
        )
        if holds
    )
    name = _checked(_ID, key.key, "key")
    organization = _checked(_ID, key.organization, "organization")
    value = f"{name}|{organization}|{flags or '-'}|{key.rate_10s}|{key.concurrency}|{key.expires_at or NEVER}"
    return _checked(_SHA256, key.sha256, "key hash"), value


@lru_cache(maxsize=65_536)
def _split_entry(target: Target, slot: int) -> tuple[str, str]:
    mode = "stream" if target.streaming else "sync"
    name = _checked(_ID, target.id, "target")
    version = _checked(_ID, target.version, "version")
    value = f"s{slot}|{name}|{version}|{target.timeout_ms}|{target.memory_mb}|{mode}"
    if host := host_of(target):
        value += f"|{_checked(_HOST, host, 'host')}"
    return content_id("S", value), value


def _shares(route: Route) -> list[tuple[str, int]]:
    if sum(share.percent for share in route.shares) != 100 or any(
        share.percent < 0 for share in route.shares
    ):
        raise Invalid(f"the shares of route {route.path!r} do not add up to 100")
    return [(share.target, share.percent) for share in route.shares if share.percent]


def _route_entries(maps: Maps, route: Route, splits: Mapping[str, str]) -> None:
    missing = [share.target for share in route.shares if share.target not in splits]
    if missing:
        raise Invalid(f"route {route.path!r} leads to {missing[0]!r}, which is no target of the same state")
    if route.function not in maps["policies"]:
        raise Invalid(f"route {route.path!r} has no policy for function {route.function!r}")
    sequence = [splits[target] for target, percent in _shares(route) for _ in range(percent)]
    route_id = sequence[0]
    if len(set(sequence)) > 1:
        route_id = content_id("W", " ".join(sequence))
        maps["weights"].update(spread(route_id, sequence))
    path = _checked(_PATH, route.path, "path")
    maps["routes"][f"*/{path}/"] = f"{route.function}|{route_id}"


def make_maps(state: GatewayState, slots: Mapping[str, int], hops: Mapping[str, str] | None = None) -> Maps:
    """Return every map but the lease.

    `slots` says where each target's server stands, `hops` holds the functions' tokens for pods.
    """
    maps: Maps = {name: {} for name in MAP_NAMES if name != "lease"}
    maps["hop"] = {function: _checked(_TOKEN, token, "token") for function, token in (hops or {}).items()}
    splits: dict[str, str] = {}
    for target in state.targets:
        splits[target.id], value = _split_entry(target, slots[target.id])
        maps["splits"][splits[target.id]] = value
    for policy in state.policies:
        function, value = _policy_entry(policy)
        maps["policies"][function] = value
        for origin in policy.cors.origins:
            checked = _checked(_ORIGIN, origin, "origin")
            maps["cors"][f"{function}|{checked}"] = str(policy.cors.max_age_s)
    for route in state.routes:
        _route_entries(maps, route, splits)
    for key in state.keys:
        digest, value = _key_entry(key)
        maps["keys"][digest] = value
        for scope in key.scopes:
            maps["scopes"][f"{key.key}|{_checked(_ID, scope, 'scope')}"] = "1"
        for mode in key.modes:
            maps["modes"][f"{key.key}|{_checked(_ID, mode, 'mode')}"] = "1"
        for network in key.networks:
            maps["addresses"].update(dict.fromkeys(address_keys(key.key, network), "1"))
    return maps
