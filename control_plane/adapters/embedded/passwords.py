"""The Passwords port: argon2id, at most a few at once so that sign-ins cannot take the machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from control_plane.errors import Unavailable

__all__ = ["ArgonPasswords"]


class ArgonPasswords:
    """Hashes with argon2-cffi's defaults: 64 MiB for each hash that runs.

    Only a few wait for a place, each for a while: sign-ins must take neither
    the machine's memory nor all threads that answer.
    """

    def __init__(
        self,
        *,
        at_once: int = 2,
        waiting: int = 8,
        wait_s: float = 5.0,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._places = threading.BoundedSemaphore(at_once)
        self._line = threading.BoundedSemaphore(at_once + waiting)
        self._wait_s = wait_s

    def hash(self, password: str) -> str:
        """Return text that holds its own parameters and salt."""
        with self._place():
            return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """Say whether it is the password. Raises Unavailable when too many wait."""
        with self._place():
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError):
                return False

    @contextmanager
    def _place(self) -> Iterator[None]:
        busy = Unavailable("Too many sign-ins at once.", hint="Try again in some seconds.")
        if not self._line.acquire(blocking=False):
            raise busy
        try:
            if not self._places.acquire(timeout=self._wait_s):
                raise busy
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._line.release()
