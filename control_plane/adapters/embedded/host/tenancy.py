"""Which organization may run where functions are not isolated well enough for several.

Only a machine with isolation level namespaces serves more than one. Elsewhere
the one that was there first keeps it for as long as any function of it is wanted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Tenancy"]


class Tenancy:
    """The organization that this host serves, remembered over restarts."""

    def __init__(self, path: Path, isolation: str) -> None:
        self._path = path
        self._isolation = isolation
        self._only = isolation != "namespaces"
        self._tenant = ""
        if self._only:
            with contextlib.suppress(OSError):
                self._tenant = path.read_text().strip()

    def settle(self, organizations: Iterable[str]) -> None:
        """Choose among those that want to run: the one in force, else the lowest id, which is the oldest."""
        wanting = set(organizations)
        if not self._only or not wanting or self._tenant in wanting:
            return
        self._tenant = min(wanting)
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_text(self._tenant)
        temporary.rename(self._path)

    def refusal(self, organization: str) -> str:
        """Return why this organization's functions cannot run here, nothing if they can."""
        if not self._only or organization == self._tenant or not self._tenant:
            return ""
        return (
            f"functions of another organization run on this machine at isolation level {self._isolation}, "
            "which serves one organization only: start Ingot where level namespaces is available "
            "(ingot doctor says what is missing), or take the other organization's functions down"
        )
