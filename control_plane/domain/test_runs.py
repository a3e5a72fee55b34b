"""Test runs: one request to a draft, and what became of it. How it runs is the runtime's business."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["TestRun"]


@dataclass(frozen=True, slots=True)
class TestRun:
    """One request to a draft in a one-shot instance, with test-scoped values only."""

    __test__ = False

    id: str
    organization: str
    project: str
    function: str
    # The draft's revision and the digest that ran.
    revision: int
    digest: str
    created_by: str
    created_ms: int
    # "running", "answered", "failed" or "cancelled"
    state: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    # base64
    body: str = ""
    logs: tuple[Any, ...] = ()
    duration_us: int = 0
    import_us: int = 0
    # (module, self time in µs, cumulative time in µs), slowest first
    import_profile: tuple[tuple[str, int, int], ...] = ()
    peak_kb: int = 0
    code: str = ""
    message: str = ""
    # A run that says nothing until then was interrupted together with the process that held it.
    deadline_ms: int = 0

    def as_seen_at(self, now_ms: int) -> TestRun:
        """Return it failed when whoever ran it must be gone; a restart leaves nobody to write that down."""
        if self.state != "running" or not self.deadline_ms or now_ms < self.deadline_ms:
            return self
        message = "The process that ran it ended before the run did."
        return replace(self, state="failed", code="interrupted", message=message)
