"""The world that every sandboxed process of one runtime shares, prepared once in a level-1 template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingot_sandbox.spec import SandboxSpec

__all__ = ["Base", "prepare"]


@dataclass(slots=True)
class Base:
    """Handle of a prepared process; pass it to `enter` and `become`."""

    level: str
    # The interpreter as a path that exists inside the sandbox; put it in sys.executable.
    executable: str

    def layer_path(self, spec: SandboxSpec, name: str) -> str:
        """Return where user code finds the layer `name` of this spec."""
        raise NotImplementedError

    def tmp_path(self, spec: SandboxSpec) -> str:
        """Return the one folder that user code can write."""
        raise NotImplementedError


def prepare(
    level: str,
    roots: Sequence[str],
    readable: Sequence[str] = (),
    uids: range = range(0),
) -> Base:
    """Confine this (trusted, single-threaded) template and build the shared read-only view.

    `roots` hold the layers of all functions (`.ingot/layers`, the bytecode
    cache); user code sees only the layers named in its spec. `readable`
    folders (shim, validator, this package) stay at their own paths, for all.
    Afterwards the process itself sees nothing else of the host's files.
    """
    raise NotImplementedError
