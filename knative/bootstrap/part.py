"""What a part of the cluster is: a program with its flags, what it needs, when it is ready. Pure."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Account", "Part", "Probe", "in_order"]


@dataclass(frozen=True, slots=True)
class Probe:
    """How a part is asked whether it is ready."""

    kind: Literal["http", "socket", "command"]
    # A URL, a socket's path, or a program with its arguments.
    target: str | tuple[str, ...]
    # The authority of an https server; without one its certificate is not checked
    # (the address is this machine's own loopback).
    authority: Path | None = None
    # A client's certificate and key, where the server asks for one.
    client: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a part runs as, when it is not root."""

    user: int
    group: int
    # Capabilities that it keeps, as setpriv names them.
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running program of the cluster."""

    name: str
    command: tuple[str, ...]
    ready: Probe
    needs: tuple[str, ...] = ()
    account: Account | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    # What the program reads when it starts: when one changes, it is started anew.
    reads: tuple[Path, ...] = ()
    # Its children outlive it: the shims of containers do, and must.
    keeps_children: bool = False
    # What asks it to end, and how long it may take to, in seconds.
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0

    def key(self, contents: Mapping[Path, bytes], programs: str) -> str:
        """Return what changes when the part has to be started anew; `programs` names the builds."""
        hashes = [hashlib.sha256(contents[path]).hexdigest() for path in self.reads]
        account = [self.account.user, *self.account.capabilities] if self.account else []
        told = [programs, self.command, sorted(self.environment.items()), hashes, account]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Return the parts so that each comes after what it needs. Raises ValueError on a circle."""
    done: list[Part] = []
    names: set[str] = set()
    left = list(parts)
    while left:
        free = [part for part in left if names.issuperset(part.needs)]
        if not free:
            raise ValueError(f"these parts wait for each other: {', '.join(part.name for part in left)}")
        done += free
        names.update(part.name for part in free)
        left = [part for part in left if part.name not in names]
    return done
