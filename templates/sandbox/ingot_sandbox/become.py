"""Turn a fork of a level-1 template into a confined level-2 template, which imports user code."""

from __future__ import annotations

from ingot_sandbox.base import Base
from ingot_sandbox.spec import SandboxSpec

__all__ = ["become_template"]


def become_template(base: Base, spec: SandboxSpec) -> bool:
    """Fork; return True in the level-2 template and False in the level-1 template.

    In the level-2 template `base` is changed in place: the next
    `spawn_instance(base, spec)` there starts an instance with namespaces, /tmp
    and process ids of its own, and the same layers.
    """
    raise NotImplementedError
