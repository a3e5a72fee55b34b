"""A base image's own interpreter, run from its unpacked tree: bytecode depends on no machine's Python.

It runs by the tree's own loader, confined, without root and without entering the tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.base.filesystem import Node, Tree, file
from builders.confine import Confinement, run_confined
from builders.errors import BuildError
from builders.storage import temporary_folder

__all__ = ["BYTECODE", "Interpreter", "lay_out"]

# Where the image's Python looks for bytecode: below it lie the paths of the sources.
BYTECODE = "opt/ingot/bytecode"
_CHILD = Path(__file__).with_name("compile_child.py")
_LOADERS = {"linux-x86_64": "ld-linux-x86-64.so.2", "linux-aarch64": "ld-linux-aarch64.so.1"}
_TIMEOUT_S = 600.0
_TAG = (
    "import importlib.util, sys; print(f'{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}')"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python of an unpacked base image."""

    # Absolute: it is run from another folder.
    root: Path
    # "python3.11"
    runtime: str
    platform: str

    def tag(self) -> str:
        """Return the cache tag and magic number that its bytecode has."""
        with temporary_folder(self.root.parent) as work:
            return self._run(["-c", _TAG], work).strip()

    def compile(self, sources: Path, folders: Sequence[str]) -> Tree:
        """Return the bytecode of `<sources>/<folder>` for each folder, by its path in the image."""
        with temporary_folder(self.root.parent) as work:
            target = work / "bytecode"
            target.mkdir()
            self._run([str(_CHILD), str(sources), str(target), *folders], work)
            return {
                f"{BYTECODE}/{path.relative_to(target).as_posix()}": file(path.read_bytes())
                for path in sorted(target.rglob("*.pyc"))
            }

    def _run(self, arguments: list[str], work: Path) -> str:
        libraries = next(self.root.glob("usr/lib/*-linux-gnu"), self.root)
        loader = libraries / _LOADERS[self.platform]
        python = self.root / "usr/bin" / self.runtime
        command = [str(loader), "--library-path", str(libraries), str(python), "-I", "-S", "-B", *arguments]
        environment = {"PYTHONHASHSEED": "0"}
        outcome = run_confined(
            command, Confinement(writable=(work,), environment=environment, timeout_s=_TIMEOUT_S)
        )
        if outcome.status != 0:
            raise BuildError(
                "base_unavailable",
                f"The interpreter of the base image for {self.runtime} ended with status {outcome.status}.",
                hint="A base image is made on a machine of its own platform.",
                log=tuple(outcome.output.splitlines()[-10:]),
            )
        return outcome.output


def lay_out(tree: Tree, target: Path) -> None:
    """Write a tree to disk for its interpreter; links that lead out of it are left out."""
    for path, node in _files_first(tree):
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.target:
            if not node.target.startswith("/") and ".." not in node.target.split("/"):
                place.symlink_to(node.target)
        else:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, node.mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(node.content)


def _files_first(tree: Tree) -> Iterator[tuple[str, Node]]:
    """Yield files and links below `usr`, which is all that an interpreter needs."""
    for path in sorted(tree):
        if path.startswith("usr/") and tree[path].kind != b"5":
            yield path, tree[path]
