"""Start one sandboxed instance from a template of either level: the hot path of a cold start."""

from __future__ import annotations

from ingot_sandbox.base import Base
from ingot_sandbox.spec import SandboxSpec

__all__ = ["spawn_instance"]


def spawn_instance(base: Base, spec: SandboxSpec) -> bool:
    """Fork; return True in the new, completely confined process and False in the template.

    The instance is an orphan: the nearest subreaper (the supervisor) reaps it,
    except below a level-2 template, whose own init does. If confinement fails
    in the child, it writes {"event":"failed","code":"isolation_unavailable",
    "message":...} to `spec.status` and exits with 70; it never returns.
    """
    raise NotImplementedError
