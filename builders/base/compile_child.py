"""Compiles every module below some folders of a root, for a cache that stands beside them.

Run by the root's own interpreter as `python compile_child.py <root> <target> <folder>…`,
confined. Each module is found at run time under its path in the image.
"""

from __future__ import annotations

import os
import py_compile
import sys
import warnings

# Calls do not import a package's own tests, and they are half of some packages.
_SKIPPED = {"test", "tests"}


def main() -> None:
    """Write `<target>/<path>/<name>.<tag>.pyc` for each `<root>/<path>/<name>.py`."""
    root, target, *folders = sys.argv[1:]
    warnings.simplefilter("ignore")
    for folder in sorted(folders):
        for parent, names, files in os.walk(f"{root}/{folder}"):
            names[:] = sorted(name for name in names if name not in _SKIPPED)
            for name in sorted(files):
                if name.endswith(".py"):
                    _compile(root, os.path.relpath(f"{parent}/{name}", root), target)


def _compile(root: str, path: str, target: str) -> None:
    compiled = f"{target}/{path[:-3]}.{sys.implementation.cache_tag}.pyc"
    try:
        py_compile.compile(
            f"{root}/{path}",
            cfile=compiled,
            dfile=f"/{path}",
            doraise=True,
            # Layers never change, so the source's time and content need no look at each import.
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except (py_compile.PyCompileError, RecursionError, MemoryError, ValueError):
        # Importing it will say so better.
        return


if __name__ == "__main__":
    main()
