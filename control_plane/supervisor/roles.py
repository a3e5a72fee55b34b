"""Which processes make up a running Ingot, as data.

Pure: says what to start, with which descriptors, identity and secrets. Starting
and watching happen in child.py and loop.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.supervisor.folders import Identities

__all__ = ["Plan", "Role", "plan_replica", "plan_roles"]

# What a call needs comes back sooner than the rest, even if it keeps dying.
_CALLERS_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Role:
    """One process that the supervisor keeps running."""

    name: str
    user: int | None = None
    group: int | None = None
    # Names of the keys that the role may hold.
    secrets: tuple[str, ...] = ()
    # Has the descriptor store of its own.
    store: bool = False
    # Inherits the public listeners and the access log.
    listeners: bool = False
    # Ready when this socket of the run folder accepts a connection; empty: it tells by its ready pipe.
    ready_socket: str = ""
    # Asks for a graceful end.
    stop_signal: int = signal.SIGTERM
    # At the start of everything it waits for these to be ready; a restart waits for nobody.
    after: tuple[str, ...] = ()
    # Seconds that a drain may take before SIGKILL.
    patience_s: float = 40.0
    # The longest wait before it starts again after it died over and over, in seconds.
    longest_wait_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the supervisor needs to start the roles."""

    roles: tuple[Role, ...]
    # role -> (argv, whole environment)
    commands: Mapping[str, tuple[list[str], Mapping[str, str]]]
    # The sockets' folder and the folder of the roles' own logs.
    run: Path
    logs: Path
    # Size at which a role's own log is set aside; 0: never.
    log_bytes: int = field(default=0, kw_only=True)
    # key's name -> base64
    secrets: Mapping[str, str]
    # environment name -> descriptor, for roles with `listeners`
    listeners: Mapping[str, int]
    # role -> whether it has nothing left to finish after its stop signal; others end by themselves
    drained: Mapping[str, Callable[[], bool]] = field(default_factory=dict)


def plan_roles(identities: Identities, drain_s: float) -> tuple[Role, ...]:
    """Return the roles in the order in which they start.

    They stop in the reverse order: no caller is let in any more when the rest
    goes, and the meter counts until all others have ended.
    """
    control, group = identities.control, identities.group
    return (
        # No call is let in without its lease.
        Role("meter", control, group, longest_wait_s=_CALLERS_WAIT_S),
        # It ends what does not drain in time by itself.
        Role(
            "host",
            secrets=("master",),
            store=True,
            patience_s=drain_s + 5,
            longest_wait_s=_CALLERS_WAIT_S,
        ),
        Role("worker", control, group, secrets=("master", "audit", "release", "hop")),
        Role("api", control, group, secrets=("master", "audit", "cursor", "files")),
        Role("streams", control, group, secrets=("cursor",)),
        # Callers wait in the listeners until there is a lease and somebody who answers.
        _gateway(identities, after=("meter", "host")),
    )


def plan_replica(identities: Identities) -> tuple[Role, ...]:
    """Return the roles of one more gateway: it, who tells it what is live, and who counts its calls."""
    control, group = identities.control, identities.group
    return (
        Role("meter", control, group, longest_wait_s=_CALLERS_WAIT_S),
        Role("follower", control, group, secrets=("hop",), longest_wait_s=_CALLERS_WAIT_S),
        # Before the follower is ready it would know no function and refuse all calls.
        _gateway(identities, after=("meter", "follower")),
    )


def _gateway(identities: Identities, after: tuple[str, ...]) -> Role:
    return Role(
        "gateway",
        identities.gateway,
        identities.group,
        listeners=True,
        ready_socket="gateway-master.sock",
        # HAProxy stops hard on SIGTERM; SIGUSR1 lets it finish what it answers.
        stop_signal=signal.SIGUSR1,
        after=after,
        longest_wait_s=_CALLERS_WAIT_S,
    )
