"""What wraps an author's code in an image: the shim, its validator and the program that starts them.

The files come from the folders that the embedded world uses as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builders.base.filesystem import Tree, file
from builders.errors import BuildError

__all__ = ["ROOT", "Runtime", "runtime_tree"]

ROOT = "opt/ingot/runtime"
_VALIDATOR = "jsonschema_rs/jsonschema_rs.abi3.so"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where the parts of a runtime lie on this machine."""

    # The folder that holds `start.py` and `ingot_shim`.
    folder: Path
    # The folder that holds the compiled validator.
    validator: Path


def runtime_tree(runtime: Runtime) -> Tree:
    """Return the runtime by its paths in an image."""
    tree: Tree = {}
    for path in sorted([*runtime.folder.glob("*.py"), *runtime.folder.glob("ingot_shim/**/*.py")]):
        tree[f"{ROOT}/{path.relative_to(runtime.folder).as_posix()}"] = file(path.read_bytes())
    validator = runtime.validator / _VALIDATOR
    if f"{ROOT}/start.py" not in tree or not validator.is_file():
        raise BuildError(
            "base_unavailable",
            "The runtime's own files are not complete here.",
            hint="Install Ingot's requirements, and keep the checkout whole.",
        )
    tree[f"{ROOT}/{_VALIDATOR}"] = file(validator.read_bytes())
    return tree
