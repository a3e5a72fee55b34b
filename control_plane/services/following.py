"""Keeps one more gateway at what is live: it follows the reconciler's decisions and makes none.

Level-triggered as the reconciler is. What was replaced goes on running for the
reconciler's grace, in which a follower must have heard of the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from control_plane.domain.desired import CallerKey, GatewayState
from control_plane.ports import Gateway
from control_plane.services.changes import Changes
from control_plane.services.reconciling import make_gateway_state, make_host_state
from control_plane.services.world import read_world

__all__ = ["GatewayFollower"]


class GatewayFollower:
    """The only writer of one more gateway's wanted state."""

    def __init__(
        self, changes: Changes, gateway: Gateway, *, isolation: str, host_of: Callable[[str, str, str], str]
    ) -> None:
        """`host_of` returns where a cluster answers for (target, function's name, project)."""
        self._changes = changes
        self._gateway = gateway
        self._isolation = isolation
        self._host_of = host_of
        self._applied: GatewayState | None = None
        self._seen = (-1, -1)
        self._lingering = False

    def step(self) -> bool:
        """Make what is live so, if it changed; say whether anything was done. Raises IngotError, OSError."""
        seen = self._changes.live()
        if seen == self._seen and not self._lingering:
            return False
        state = self._state(sum(seen))
        known = self._applied
        change = self._gateway.apply(state)
        self._lingering = bool(change.lingering)
        for key in _lost(known.keys if known else (), state.keys):
            # After the maps know it, so that nothing new is let in meanwhile.
            self._gateway.cut(key)
        self._applied, self._seen = state, seen
        return True

    def _state(self, epoch: int) -> GatewayState:
        world = read_world(self._changes)
        host = make_host_state(world.live, epoch=epoch, isolation=self._isolation)
        sockets = {one.id: self._host_of(one.id, one.function_name, one.project) for one in host.targets}
        return make_gateway_state(
            world.live,
            world.keys,
            epoch=epoch,
            isolation=self._isolation,
            socket_path=sockets.__getitem__,
        )


def _lost(before: Iterable[CallerKey], after: Iterable[CallerKey]) -> list[str]:
    """Return the keys of which an entry went or changed: what they have open may be too much now."""
    kept = set(after)
    return sorted({one.key for one in before if one not in kept})
