"""Prints what a run is doing and how long each phase took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Phases"]


class Phases:
    """The phases of one run, in order."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase; printed when it is done, so the last line of a failure says where it was."""
        began = time.monotonic()
        yield
        self._print(name, time.monotonic() - began)

    def total(self, name: str) -> None:
        """Print the time of the whole run."""
        self._print(name, time.monotonic() - self._began)

    @staticmethod
    def _print(name: str, seconds: float) -> None:
        print(f"{seconds:8.1f} s  {name}", flush=True)
