"""Packs a folder into an archive for the server, and unpacks one that came from it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.references import LINK_FILE

__all__ = ["ARCHIVE_TYPE", "is_left_out", "pack", "tree", "unpack"]

ARCHIVE_TYPE: Final = "application/gzip"

# What no function needs: version control, environments, caches and this tool's own note.
_SKIPPED: Final = frozenset(
    {
        ".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".pytest_cache",
        ".mypy_cache", ".ruff_cache", ".idea", ".vscode", ".ingot", LINK_FILE, ".DS_Store",
    }
)  # fmt: skip


def is_left_out(name: str) -> bool:
    """Say whether a file or folder of this name belongs to tools, not to the function."""
    return name in _SKIPPED or name.endswith(".pyc")


def _entries(folder: Path) -> Iterator[Path]:
    """Yield what lies below the folder; what tools left is not even walked, as environments are large."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_left_out(name)]
        yield from (Path(parent, name) for name in (*folders, *files) if not is_left_out(name))


def tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path in the draft, file) of every file that belongs to the function, in order."""
    for path in sorted(_entries(folder)):
        parts = path.relative_to(folder).parts
        if path.is_symlink():
            raise Failure(
                f"{path} is a symbolic link; a function holds plain files only.",
                hint="Replace the link by its file, or move it out of the folder.",
                exit_code=ExitCode.USAGE,
            )
        if path.is_file():
            yield "/".join(parts), path


def pack(folder: Path) -> IO[bytes]:
    """Return a gzipped tar of the folder at position 0; the same files give the same bytes."""
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder.", exit_code=ExitCode.USAGE)
    members = [(name, path.read_bytes()) for name, path in tree(folder)]
    file = tempfile.SpooledTemporaryFile(max_size=8_000_000)  # noqa: SIM115  (the caller closes it)
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(content))
    file.seek(0)
    return file


def unpack(content: bytes, folder: Path) -> list[str]:
    """Write the archive's files below `folder`; nothing may leave it. Returns their paths."""
    written = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as tar:
        for member in tar:
            if not member.isfile():
                continue
            target = (folder / member.name).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise Failure(f"The archive holds “{member.name}”, which lies outside of the folder.")
            source = tar.extractfile(member)
            if source is None:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read())
            written.append(member.name)
    return written
