"""What should run, as pure functions of what was released: the host's and the gateway's wanted state.

Nothing here reads or writes; `reconciler` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from control_plane.domain.credentials import ApiKey
from control_plane.domain.desired import (
    CallerKey,
    Cors,
    FunctionPolicy,
    GatewayState,
    HostState,
    HostTarget,
    ReleaseShare,
    Route,
    Share,
    Takedown,
    Target,
    WantedRelease,
)
from control_plane.domain.functions import Function
from control_plane.domain.releases import Release, ReleasePart, limits_of, target_id
from control_plane.domain.values import Value
from control_plane.domain.versions import RunnableVersion

__all__ = ["Released", "make_gateway_state", "make_host_state", "target_ids"]


@dataclass(frozen=True, slots=True)
class Released:
    """One release with everything that its targets are made of."""

    release: Release
    function: Function
    # The organization's name, the first part of the path.
    organization_name: str
    # version id -> version
    versions: Mapping[str, RunnableVersion]
    # value id -> value; secrets are sealed
    values: Mapping[str, Value]


def target_ids(released: Released, isolation: str) -> dict[str, str]:
    """Return version id -> target id of a release."""
    return {part.version: _target_id(released, part, isolation) for part in released.release.parts}


def make_host_state(
    released: Iterable[Released], *, epoch: int, isolation: str, takedowns: tuple[Takedown, ...] = ()
) -> HostState:
    """Return one listening target for each different template key, in the order of ids.

    Of several releases of a function its calls follow the one that comes first.
    """
    targets: dict[str, HostTarget] = {}
    releases: dict[str, WantedRelease] = {}
    for one in released:
        for part in one.release.parts:
            target = _host_target(one, part, isolation)
            targets[target.id] = target
        releases.setdefault(one.function.id, _wanted_release(one, isolation))
    return HostState(
        epoch,
        tuple(targets[identifier] for identifier in sorted(targets)),
        tuple(releases[identifier] for identifier in sorted(releases)),
        takedowns,
    )


def make_gateway_state(
    released: Iterable[Released],
    keys: Iterable[ApiKey],
    *,
    epoch: int,
    isolation: str,
    socket_path: Callable[[str], str],
) -> GatewayState:
    """Return every server, route, policy and key that lets calls in."""
    targets: dict[str, Target] = {}
    routes: list[Route] = []
    policies: list[FunctionPolicy] = []
    for one in sorted(released, key=lambda one: one.function.id):
        for part in one.release.parts:
            target = _gateway_target(one, part, isolation, socket_path)
            targets[target.id] = target
        routes.extend(_routes(one, isolation))
        policies.append(_policy(one))
    return GatewayState(
        epoch=epoch,
        targets=tuple(targets[identifier] for identifier in sorted(targets)),
        routes=tuple(routes),
        policies=tuple(policies),
        keys=tuple(entry for key in sorted(keys, key=lambda key: key.id) for entry in _caller_keys(key)),
    )


def _target_id(released: Released, part: ReleasePart, isolation: str) -> str:
    limits = limits_of(released.versions[part.version].declaration.limits, released.release.throttle)
    return target_id(part, released.release.organization, isolation, limits)


def _wanted_release(released: Released, isolation: str) -> WantedRelease:
    release = released.release
    return WantedRelease(
        function=release.function,
        function_name=released.function.name,
        organization=release.organization,
        project=release.project,
        number=release.number,
        digest=release.digest,
        # How many approved is the control plane's own record; a cluster asks whether anybody had to.
        approvals=0 if release.unreviewed else 1,
        shares=tuple(
            ReleaseShare(_target_id(released, part, isolation), part.percent, part.tag)
            for part in release.parts
        ),
    )


def _host_target(released: Released, part: ReleasePart, isolation: str) -> HostTarget:
    version = released.versions[part.version]
    declaration = version.declaration
    values = released.values
    return HostTarget(
        id=_target_id(released, part, isolation),
        organization=version.organization,
        project=version.project,
        function=version.function,
        function_name=released.function.name,
        version=version.id,
        number=version.number,
        digest=version.digest,
        runtime=declaration.runtime,
        kind=declaration.kind,
        handler=declaration.handler,
        layers=version.layers,
        input_schema=declaration.input_schema,
        output_schema=declaration.output_schema,
        limits=limits_of(declaration.limits, released.release.throttle),
        settings={name: values[value].content for name, value in part.bound.settings.items()},
        secrets={name: values[value].content for name, value in part.bound.secrets.items()},
        streaming=declaration.streaming,
        base=part.base,
    )


def _gateway_target(
    released: Released, part: ReleasePart, isolation: str, socket_path: Callable[[str], str]
) -> Target:
    version = released.versions[part.version]
    limits = limits_of(version.declaration.limits, released.release.throttle)
    identifier = _target_id(released, part, isolation)
    return Target(
        id=identifier,
        socket=socket_path(identifier),
        organization=version.organization,
        project=version.project,
        function=version.function,
        version=version.id,
        maxconn=limits.instances * limits.concurrency,
        timeout_ms=limits.timeout_ms,
        memory_mb=limits.memory_mb,
        streaming=version.declaration.streaming,
    )


def _routes(released: Released, isolation: str) -> list[Route]:
    """Return the function's own route and its alias @live, then one for each version and each tag in it."""
    parts = released.release.parts
    path = f"{released.organization_name}/{released.function.name}"
    ids = target_ids(released, isolation)
    weighted = tuple(Share(ids[part.version], part.percent) for part in parts if part.percent)
    routes = [Route(name, released.function.id, weighted) for name in (path, f"{path}@live")]
    for part in parts:
        whole = (Share(ids[part.version], 100),)
        names = [str(part.number), *([part.tag] if part.tag else [])]
        routes.extend(Route(f"{path}@{name}", released.function.id, whole) for name in names)
    return routes


def _policy(released: Released) -> FunctionPolicy:
    """Return what holds for all parts together: an exception counts only when every version declares it."""
    parts = released.release.parts
    every = [released.versions[part.version].declaration for part in parts]
    main = max(parts, key=lambda part: (part.percent, part.number))
    declared = released.versions[main.version].declaration
    return FunctionPolicy(
        function=released.function.id,
        project=released.function.project,
        organization=released.release.organization,
        public=all(one.public for one in every),
        own_authentication=all(one.own_authentication for one in every),
        unsandboxed_page=all(one.unsandboxed_page for one in every),
        rate_10s=released.release.throttle.rate_10s,
        concurrency=released.release.throttle.concurrency,
        body_limit=declared.body_limit,
        cors=Cors(origins=declared.cors_origins),
    )


def _caller_keys(key: ApiKey) -> Iterable[CallerKey]:
    """Yield the key's entry for each of its secrets; the gateway itself ends the older one."""
    ends = -(-key.expires_ms // 1_000)
    yield _caller_key(key, key.sha256, ends)
    if key.previous_sha256:
        yield _caller_key(key, key.previous_sha256, -(-key.previous_until_ms // 1_000))


def _caller_key(key: ApiKey, sha256: str, expires_at: int) -> CallerKey:
    return CallerKey(
        sha256=sha256,
        key=key.id,
        organization=key.organization,
        scopes=key.scopes,
        rate_10s=key.rate_10s,
        concurrency=key.concurrency,
        expires_at=expires_at,
        modes=tuple(str(mode) for mode in key.modes),
        networks=key.networks,
    )
