"""What is in Ingot's own image beside the base image: its code and its wheels. Pure but for reading.

Nothing that only tests, checkers or the one-node cluster need belongs there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.base.filesystem import Node, Tree, file
from builders.errors import BuildError
from builders.layers import ROOTS
from builders.locked import Lock

__all__ = ["CODE", "PATHS", "check_hashes", "code_tree", "path_tree", "pinned"]

# Where Ingot's packages lie in the image, and the file by which its Python finds them and their wheels.
CODE = "opt/ingot/app"
PATHS = "usr/lib/python3/dist-packages/ingot.pth"
_FOLDERS = ("control_plane", "builders", "operators", "templates")
# The second one tells which wheels a starter may lock, as the first tells who may use the code.
_FILES = ("LICENSE", "pyproject.toml")
_LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def code_tree(checkout: Path) -> Tree:
    """Return Ingot's own files by their paths in the image."""
    return {f"{CODE}/{path.relative_to(checkout).as_posix()}": _node(path) for path in _files(checkout)}


def path_tree() -> Tree:
    """Return the file that puts Ingot and its wheels on every Python's path there, also an isolated one's."""
    return {PATHS: file(f"/{CODE}\n/{ROOTS['deps']}\n".encode())}


def _files(checkout: Path) -> Iterator[Path]:
    yield from (checkout / name for name in _FILES)
    for folder in _FOLDERS:
        for path in sorted((checkout / folder).rglob("*")):
            if path.is_file() and not _LEFT_OUT & set(path.relative_to(checkout).parts):
                yield path


def _node(path: Path) -> Node:
    if path.is_symlink():
        raise BuildError("install_failed", f"{path} is a link, which no image of Ingot holds.")
    return file(path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))


def pinned(wanted: Iterable[str], requirements: str) -> tuple[str, ...]:
    """Return `name==version` of everything that a program needs to run, as requirements.txt pins it.

    Which package needs which is read from those that are installed here.
    """
    versions = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", requirements, re.MULTILINE))
    found: dict[str, str] = {}
    waiting = [(Requirement(one), "") for one in wanted]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in versions:
            raise BuildError("install_failed", f"requirements.txt pins no {name}.", hint="Run make lock.")
        seen = name in found
        found[name] = versions[name]
        asked = sorted(requirement.extras) if seen else ["", *sorted(requirement.extras)]
        for below in metadata.requires(name) or ():
            waiting += [(Requirement(below), one) for one in asked]
    return tuple(f"{name}=={found[name]}" for name in sorted(found))


def check_hashes(lock: Lock, requirements: str) -> None:
    """Refuse wheels that requirements.txt does not name: the image holds what was reviewed there."""
    known = set(_HASH.findall(requirements))
    for package in lock.packages:
        for wheel in package.wheels.values():
            if wheel.sha256 not in known:
                raise BuildError(
                    "install_failed",
                    f"{wheel.file} is not what requirements.txt pins.",
                    hint="Run make lock, and look at what changed.",
                )
