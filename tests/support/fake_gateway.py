"""A gateway in memory: it holds what was applied and counts what it would have sent."""

from __future__ import annotations

from control_plane.domain.desired import GatewayState
from control_plane.errors import Invalid
from control_plane.ports import GatewayChange

__all__ = ["FakeGateway"]


class FakeGateway:
    """Implements ports.Gateway; `state` is what is live, `sessions` what is open."""

    def __init__(self) -> None:
        self.state: GatewayState | None = None
        self.applied: list[GatewayState] = []
        # (key, target) of each open session.
        self.sessions: list[tuple[str, str]] = []
        # Set to make every apply fail with it.
        self.failure: Exception | None = None

    def apply(self, state: GatewayState) -> GatewayChange:
        """Make the state live; an unchanged state sends nothing. Raises Invalid."""
        if self.failure is not None:
            raise self.failure
        self._check(state)
        self.applied.append(state)
        before, self.state = self.state, state
        if before is not None and _content(before) == _content(state):
            return GatewayChange()
        gone = (
            {target.id for target in before.targets} - {target.id for target in state.targets}
            if before
            else set()
        )
        lingering = sorted({target for _, target in self.sessions} & gone)
        return GatewayChange(commands=1, lingering=tuple(lingering))

    def cut(self, target_or_key: str) -> int:
        """End the open sessions of a key or target; returns how many."""
        left = [session for session in self.sessions if target_or_key not in session]
        ended = len(self.sessions) - len(left)
        self.sessions = left
        return ended

    def _check(self, state: GatewayState) -> None:
        targets = {target.id for target in state.targets}
        functions = {policy.function for policy in state.policies}
        for route in state.routes:
            if sum(share.percent for share in route.shares) != 100:
                raise Invalid(f"the shares of route {route.path!r} do not add up to 100")
            if not {share.target for share in route.shares} <= targets:
                raise Invalid(f"route {route.path!r} leads to no target of the same state")
            if route.function not in functions:
                raise Invalid(f"route {route.path!r} has no policy")


def _content(state: GatewayState) -> tuple[object, ...]:
    """Return all but the epoch, which alone changes nothing."""
    return state.targets, state.routes, state.policies, state.keys
