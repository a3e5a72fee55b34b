"""Slows guessing down, for each account and for each network address.

An attempt counts as failed before it is made, so that parallel guesses gain
nothing; one that succeeds is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.identity import Actor
from control_plane.errors import TooMany
from control_plane.services.changes import Change, Changes

__all__ = ["Attempts", "wait_after"]

_FREE_OF_ACCOUNT: Final = 3
# Many people share an address behind one router; a guesser of many accounts shares it too.
_FREE_OF_ADDRESS: Final = 30
_LONGEST_WAIT_MS: Final = 15 * 60_000
_REMEMBERED_MS: Final = 24 * 3_600_000


def wait_after(failures: int, free: int = _FREE_OF_ACCOUNT) -> int:
    """Return how many milliseconds to wait after this many failures in a row."""
    if failures <= free:
        return 0
    return int(min(1_000 << min(failures - free - 1, 20), _LONGEST_WAIT_MS))


@dataclass(frozen=True, slots=True)
class _Count:
    """What is counted, and how many failures cost nothing."""

    key: str
    free: int


class Attempts:
    """Counts proofs of who one is."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def begin(self, actor: Actor, email: str) -> None:
        """Count an attempt for an account. Raises TooMany while the account or the address must wait."""
        with self._changes.change(Actor.nobody(actor.request, actor.address), "session.attempt") as change:
            change.unit.identity.forget_login_failures(change.now_ms - _REMEMBERED_MS)
            counts = _counts(email, actor.address)
            ready_ms = max(_ready_ms(change, count) for count in counts)
            if change.now_ms < ready_ms:
                seconds = -(-(ready_ms - change.now_ms) // 1_000)
                raise TooMany(f"Too many attempts; wait {seconds} s.", hint=f"Retry after {seconds} seconds.")
            for count in counts:
                failures, _ = change.unit.identity.login_failures(count.key)
                change.unit.identity.set_login_failures(count.key, failures + 1, change.now_ms)
                if failures >= count.free:
                    known = {"email": email, "failures": failures, "counted": count.key}
                    change.record("session/", known, outcome="failed")

    def succeeded(self, change: Change, email: str) -> None:
        """Forget the account's failures, and take the one attempt back from the address.

        Only that one: somebody with an account of their own must not wash away
        what was guessed from the same address.
        """
        account, *others = _counts(email, change.actor.address)
        change.unit.identity.set_login_failures(account.key, 0, 0)
        for count in others:
            failures, last_ms = change.unit.identity.login_failures(count.key)
            change.unit.identity.set_login_failures(count.key, max(failures - 1, 0), last_ms)


def _counts(email: str, address: str) -> tuple[_Count, ...]:
    account = _Count(email, _FREE_OF_ACCOUNT)
    return (account, _Count(f"ip:{address}", _FREE_OF_ADDRESS)) if address else (account,)


def _ready_ms(change: Change, count: _Count) -> int:
    failures, last_ms = change.unit.identity.login_failures(count.key)
    return last_ms + wait_after(failures, count.free)
