"""Compiles a folder's modules for the interpreter that runs this script; never imports them.

Run by `builders.bytecode` as `python -I -S bytecode_child.py <sources> <target>`,
confined, with the standard library alone. A module that does not compile is
left out: importing it will say so better.
"""

from __future__ import annotations

import os
import py_compile
import sys
import warnings

# Calls do not import a package's own tests, and they are half of some packages.
_SKIPPED = {"test", "tests"}


def main() -> None:
    """Write `<target>/<path>/<name>.<cache tag>.pyc` for each `<sources>/<path>/<name>.py`."""
    sources, target = sys.argv[1:3]
    warnings.simplefilter("ignore")
    for parent, folders, names in os.walk(sources):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        relative = os.path.relpath(parent, sources)
        for name in sorted(names):
            if name.endswith(".py"):
                _compile(sources, os.path.normpath(f"{relative}/{name}"), target)


def _compile(sources: str, path: str, target: str) -> None:
    compiled = f"{target}/{path[:-3]}.{sys.implementation.cache_tag}.pyc"
    try:
        py_compile.compile(
            f"{sources}/{path}",
            cfile=compiled,
            # Python puts the real path in place when it loads the module.
            dfile=path,
            doraise=True,
            # Layers never change, so the source's time and content need no look at each import.
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except (py_compile.PyCompileError, RecursionError, MemoryError, ValueError, OSError):
        return


if __name__ == "__main__":
    main()
