"""Breaks ports and commits on purpose: one call of one port, in one of five ways.

A fault is named by what it hits, which call of it, and how. Everything works on
the fakes of the test world in place, so no service knows that it is tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from control_plane.errors import Unavailable
from control_plane.store.unit_of_work import Store, UnitOfWork
from tests.support.api import ApiWorld
from tests.support.clock import FakeClock

__all__ = ["PORT_CALLS", "Fault", "Faults", "FaultyWorld", "Way"]

# How much later it is after something that was slow.
_SLOW_S: Final = 90


class Way(StrEnum):
    """What goes wrong."""

    BEFORE = "before"
    AFTER = "after"
    SLOW = "slow"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Fault:
    """The `number`-th call of `target` goes wrong in this way."""

    target: str
    number: int
    way: Way

    def __str__(self) -> str:
        return f"{self.target}#{self.number}-{self.way}"


# Every method of every port that the API's process uses; test_faults compares it with ports.py.
PORT_CALLS: Final[dict[str, tuple[str, ...]]] = {
    "clock": ("now_ms",),
    "entropy": ("bits",),
    "blobs": ("put", "get", "has"),
    "sealer": ("seal", "open"),
    "passwords": ("hash", "verify"),
    "builder": ("declaration", "lock", "packages", "build", "try_out", "adopt", "base"),
    "runtime": ("prepare", "test", "test_logs", "cancel_test", "status"),
    "logs": ("read",),
    "filebytes": ("receive", "open", "delete"),
    "receivedbytes": ("keep",),
}


@dataclass
class Faults:
    """Counts the calls of what it was given, and lets one of them go wrong."""

    clock: FakeClock
    fault: Fault | None = None
    calls: Counter[str] = field(default_factory=Counter)
    struck: bool = False

    @contextmanager
    def failing(self, fault: Fault | None) -> Iterator[None]:
        """Let the fault happen once, in this block."""
        self.fault, self.struck = fault, False
        self.calls.clear()
        try:
            yield
        finally:
            self.fault = None

    def watch_port(self, name: str, port: object, methods: Iterable[str]) -> None:
        """Count and break these methods of a port, in place."""
        for method in methods:
            setattr(port, method, self.broken(f"{name}.{method}", getattr(port, method)))

    def watch_store(self, store: Store) -> None:
        """Count and break every transaction, in place."""
        store.begin = self._broken_commit("store.commit", store.begin)  # type: ignore[method-assign, assignment]
        store.read = self._broken_commit("store.read", store.read)  # type: ignore[method-assign, assignment]

    def broken(self, target: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, counted, and broken when it is its turn."""

        def call(*args: Any, **kwargs: Any) -> Any:
            way = self._strikes(target)
            if way is Way.BEFORE:
                raise OSError(f"{target} is broken")
            found = real(*args, **kwargs)
            if way is Way.AFTER:
                raise OSError(f"{target} broke off")
            if way is Way.TWICE:
                found = real(*args, **kwargs)
            if way is Way.SLOW:
                self.clock.advance(seconds=_SLOW_S)
            return found

        return call

    def _strikes(self, target: str) -> Way | None:
        self.calls[target] += 1
        fault = self.fault
        if fault is None or (fault.target, fault.number) != (target, self.calls[target]):
            return None
        self.struck = True
        return fault.way

    def _broken_commit(
        self, target: str, real: Callable[..., AbstractContextManager[UnitOfWork]]
    ) -> Callable[..., AbstractContextManager[UnitOfWork]]:
        @contextmanager
        def open_(*reach: str) -> Iterator[UnitOfWork]:
            way = self._strikes(target)
            with real(*reach) as unit:
                yield unit
                if way is Way.SLOW:
                    self.clock.advance(seconds=_SLOW_S)
                if way is Way.BEFORE:
                    # Raised before the transaction ends, so it is rolled back.
                    raise Unavailable("The database did not take it.")
            if way is Way.AFTER:
                raise Unavailable("The database took it, and the answer was lost.")

        return open_


class FaultyWorld(Faults):
    """The application's world with every port of its process counted."""

    def __init__(self, api: ApiWorld) -> None:
        super().__init__(api.world.clock)
        self.api = api
        world = api.world
        ports = {
            "clock": world.clock,
            "entropy": world.entropy,
            "blobs": world.blobs,
            "sealer": world.sealer,
            "passwords": world.accounts._passwords,
            "builder": world.builder,
            "runtime": world.runtime,
            "logs": api.logs,
            "filebytes": world.file_bytes,
            "receivedbytes": world.file_bytes,
        }
        for name, methods in PORT_CALLS.items():
            self.watch_port(name, ports[name], methods)
        self.watch_store(world.store)
