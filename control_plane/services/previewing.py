"""Previews in the wanted state, as pure functions: targets, routes and keys beside those of releases.

To the gateway a preview is a function of its own, so no key, policy or count
of the real one reaches it: only its own key and the project's do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from control_plane.domain.desired import (
    CallerKey,
    FunctionPolicy,
    GatewayState,
    HostState,
    HostTarget,
    Route,
    Share,
    Target,
)
from control_plane.domain.functions import Function
from control_plane.domain.previews import Preview
from control_plane.domain.values import Bound, Value
from control_plane.services.draft_targets import tried_target

__all__ = ["Previewed", "gateway_with_previews", "host_with_previews", "preview_path"]

# One serves while the one before it finishes.
_INSTANCES = 2


@dataclass(frozen=True, slots=True)
class Previewed:
    """One preview with everything that its target is made of."""

    preview: Preview
    function: Function
    organization_name: str
    # value id -> value; secrets are sealed
    values: Mapping[str, Value]


def preview_path(organization_name: str, function_name: str, preview: Preview) -> str:
    """Return where a preview is called, below the functions' origin."""
    return f"{organization_name}/{function_name}@{preview.tag}"


def host_with_previews(state: HostState, previewed: Iterable[Previewed]) -> HostState:
    """Return the host's state with one more target for each preview."""
    targets = {target.id: target for target in state.targets}
    targets |= {target.id: target for target in map(_host_target, previewed)}
    return replace(state, targets=tuple(targets[identifier] for identifier in sorted(targets)))


def gateway_with_previews(
    state: GatewayState, previewed: Iterable[Previewed], socket_path: Callable[[str], str]
) -> GatewayState:
    """Return the gateway's state with a server, a route, a policy and a key for each preview."""
    known = sorted(previewed, key=lambda one: one.preview.id)
    taken = {route.path for route in state.routes}
    # A release may have chosen the same tag; what is released goes before.
    known = [one for one in known if _path(one) not in taken]
    if not known:
        return state
    return replace(
        state,
        targets=tuple(
            sorted(
                (*state.targets, *(_gateway_target(one, socket_path) for one in known)),
                key=lambda target: target.id,
            )
        ),
        routes=(*state.routes, *(_route(one) for one in known)),
        policies=(*state.policies, *(_policy(one) for one in known)),
        keys=(*state.keys, *(_key(one) for one in known)),
    )


def _path(one: Previewed) -> str:
    return preview_path(one.organization_name, one.function.name, one.preview)


def _host_target(one: Previewed) -> HostTarget:
    preview = one.preview
    return tried_target(
        preview.target,
        # In logs and in the context this says that it is no version.
        preview.id,
        one.function,
        (preview.digest, preview.declaration, preview.layers),
        (Bound(preview.settings, preview.secrets, ""), one.values),
        instances=_INSTANCES,
    )


def _gateway_target(one: Previewed, socket_path: Callable[[str], str]) -> Target:
    preview, limits = one.preview, one.preview.declaration.limits
    return Target(
        id=preview.target,
        socket=socket_path(preview.target),
        organization=preview.organization,
        project=preview.project,
        function=preview.id,
        version=preview.id,
        maxconn=min(_INSTANCES, limits.instances) * limits.concurrency,
        timeout_ms=limits.timeout_ms,
        memory_mb=limits.memory_mb,
        streaming=preview.declaration.streaming,
    )


def _route(one: Previewed) -> Route:
    return Route(_path(one), one.preview.id, (Share(one.preview.target, 100),))


def _policy(one: Previewed) -> FunctionPolicy:
    """Return a policy without any of the exceptions that only a review gives."""
    return FunctionPolicy(
        function=one.preview.id,
        project=one.preview.project,
        organization=one.preview.organization,
        body_limit=one.preview.declaration.body_limit,
    )


def _key(one: Previewed) -> CallerKey:
    preview = one.preview
    return CallerKey(
        sha256=preview.key_sha256,
        key=preview.id,
        organization=preview.organization,
        scopes=(preview.id,),
        expires_at=-(-preview.expires_ms // 1_000),
    )
